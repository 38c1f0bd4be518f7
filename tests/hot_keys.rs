//! Conversations with `HOTKEYS`.

use crate::support::Server;

#[test]
fn what_is_to_be_tracked_is_told_well_or_refused() {
    let server = Server::start(&[]);
    server.connect().play(
        "> HOTKEYS GET
         nil
         > HOTKEYS STOP
         nil
         > HOTKEYS RESET
         OK
         > HOTKEYS START
         (ERR METRICS parameter is required)
         > HOTKEYS START METRICS
         (ERR METRICS parameter is required)
         > HOTKEYS START COUNT 3
         (ERR METRICS parameter is required)
         > HOTKEYS START METRICS 0
         (ERR METRICS count must be > 0 and <= 2)
         > HOTKEYS START METRICS 3 CPU NET
         (ERR METRICS count must be > 0 and <= 2)
         > HOTKEYS START METRICS 2 CPU
         (ERR METRICS count does not match number of metric types provided)
         > HOTKEYS START METRICS 1 CPU NET
         (ERR syntax error)
         > HOTKEYS START METRICS 2 GPU NYET
         (ERR METRICS no valid metrics passed. Supported: CPU|NET)
         > HOTKEYS START METRICS 2 CPU CPU
         (ERR METRICS CPU defined more than once!)
         > HOTKEYS START METRICS 2 net NET
         (ERR METRICS NET defined more than once!)
         > HOTKEYS START METRICS 1 CPU COUNT 65
         (ERR COUNT must be between 1 and 64)
         > HOTKEYS START METRICS 1 CPU DURATION 0
         (ERR DURATION must be between 1 and 1000000)
         > HOTKEYS START METRICS 1 CPU SAMPLE x
         (ERR SAMPLE ratio must be positive)
         > HOTKEYS START METRICS 1 CPU SLOTS 1 0
         (ERR SLOTS parameter cannot be used in non-cluster mode)
         > HOTKEYS START METRICS 1 CPU SAMPLE
         (ERR syntax error)
         > HOTKEYS START METRICS 2 GPU CPU
         OK
         > HOTKEYS START METRICS 1 CPU
         (ERR hotkey tracking session already in progress)
         > HOTKEYS RESET
         (ERR hotkey tracking session in progress, stop tracking first)
         > HOTKEYS STOP
         OK
         > HOTKEYS STOP
         nil
         > HOTKEYS RESET
         OK
         > HOTKEYS GET
         nil",
    );
}

#[test]
fn bytes_are_those_of_requests_and_replies() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "> HOTKEYS START METRICS 1 NET COUNT 3
         OK
         > SET a 1
         OK
         > MSET b 1 c 2
         OK
         > GET d
         nil
         > EVAL return(redis.call('GET','a')) 1 b
         1
         > MULTI
         OK
         > SET a 2
         QUEUED
         > EXEC
         [OK]
         > HOTKEYS STOP
         OK
         > SET d 1
         OK",
    );
    let report = client.ask("HOTKEYS GET");
    let (set, mset, get) = (27 + 5, 42 + 5, 20 + 5);
    let eval = 64 + 7;
    let all = 2 * set + mset + get + eval;
    let expected = format!("by-net-bytes [b {} a {} d {get}]", mset / 2 + eval, 2 * set);
    assert!(report.contains(&expected), "{report}");
    assert!(report.contains(&format!(" net-bytes-all-commands-all-slots {all} ")), "{report}");
    assert!(report.starts_with("[[tracking-active 0 sample-ratio 1 selected-slots [[0 16383]] "), "{report}");
    assert!(!report.contains("by-cpu-time-us") && !report.contains("total-cpu-time"), "{report}");
}

#[test]
fn time_is_that_of_commands_and_ends_with_the_search() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("HOTKEYS START METRICS 1 CPU DURATION 2");
    client.ask("SETRANGE large 1000000 x");
    client.ask("BITCOUNT large");
    client.ask("GET small");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    client.ask("BITCOUNT late");
    let report = client.ask("HOTKEYS GET");
    assert!(report.starts_with("[[tracking-active 0 "), "{report}");
    assert!(report.contains(" collection-duration-ms 2000 ") && report.contains(" by-cpu-time-us [large "), "{report}");
    assert!(!report.contains(" late "), "{report}");
    assert!(!report.contains("net-bytes [") && !report.contains("total-net-bytes"), "{report}");
}
