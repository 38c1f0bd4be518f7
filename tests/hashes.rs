//! Commands on hashes, through a socket.

mod support;

use support::Server;

#[test]
fn fields_are_set_read_and_removed() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HSET h a 1 b two c 3
        3
        > HSET h b 2 d 4
        1
        > HMSET h e 5 a one
        OK
        > HSETNX h f 6
        1
        > HSETNX h f 7
        0
        > HGETALL h
        [a one b 2 c 3 d 4 e 5 f 6]
        > HKEYS h
        [a b c d e f]
        > HVALS h
        [one 2 3 4 5 6]
        > HGET h a
        one
        > HGET h x
        nil
        > HMGET h a x f
        [one nil 6]
        > HLEN h
        6
        > HSTRLEN h a
        3
        > HSTRLEN h x
        0
        > HEXISTS h a
        1
        > HEXISTS h x
        0
        > HDEL h a x a
        1
        > HDEL h b c d e
        4
        > TYPE h
        hash
        > HDEL h f f
        1
        > EXISTS h
        0
        ",
    );
}

#[test]
fn what_does_not_exist_is_empty() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HGET none a
        nil
        > HMGET none a b
        [nil nil]
        > HGETALL none
        []
        > HKEYS none
        []
        > HVALS none
        []
        > HLEN none
        0
        > HSTRLEN none a
        0
        > HEXISTS none a
        0
        > HDEL none a
        0
        > HRANDFIELD none
        nil
        > HRANDFIELD none -5 WITHVALUES
        []
        > HSCAN none 0
        [0 []]
        ",
    );
}

#[test]
fn wrong_requests_change_nothing() {
    let server = Server::start(&[]);
    let wrong_type = "(WRONGTYPE Operation against a key holding the wrong kind of value)";
    let mut client = server.connect();
    assert_eq!(client.ask("SET s v"), "OK");
    for request in [
        "HSET s a 1",
        "HMSET s a 1",
        "HSETNX s a 1",
        "HGET s a",
        "HMGET s a",
        "HGETALL s",
        "HKEYS s",
        "HVALS s",
        "HLEN s",
        "HSTRLEN s a",
        "HEXISTS s a",
        "HDEL s a",
        "HINCRBY s a 1",
        "HINCRBYFLOAT s a 1",
        "HRANDFIELD s",
        "HRANDFIELD s 1",
        "HSCAN s 0",
        "HSCAN s 0 COUNT x",
    ] {
        assert_eq!(client.ask(request), wrong_type, "{request}");
    }
    client.play(
        "
        > HSET h a 1 b
        (ERR wrong number of arguments for 'hset' command)
        > HMSET h a 1 b
        (ERR wrong number of arguments for 'hmset' command)
        > EXISTS h
        0
        > HSET h a 1 t text
        2
        > HINCRBY h a x
        (ERR value is not an integer or out of range)
        > HINCRBY h t 1
        (ERR hash value is not an integer)
        > HINCRBYFLOAT h t 1
        (ERR hash value is not a float)
        > HINCRBYFLOAT h a x
        (ERR value is not a valid float)
        > HINCRBYFLOAT h a inf
        (ERR value is NaN or Infinity)
        > HRANDFIELD h x
        (ERR value is not an integer or out of range)
        > HRANDFIELD s x
        (ERR value is not an integer or out of range)
        > HRANDFIELD h -9223372036854775808
        (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        > HRANDFIELD h 4611686018427387904 WITHVALUES
        (ERR value is out of range)
        > HRANDFIELD h 1 x
        (ERR syntax error)
        > HRANDFIELD h 1 WITHVALUES x
        (ERR syntax error)
        > HSCAN h x
        (ERR invalid cursor)
        > HSCAN h 0 COUNT 0
        (ERR syntax error)
        > HSCAN h 0 COUNT x
        (ERR value is not an integer or out of range)
        > HSCAN h 0 MATCH
        (ERR syntax error)
        > HSCAN h 0 TYPE hash
        (ERR syntax error)
        > SCAN 0 NOVALUES
        (ERR NOVALUES option can only be used in HSCAN)
        > HGETALL h
        [a 1 t text]
        ",
    );
}

#[test]
fn fields_count() {
    let server = Server::start(&[]);
    server.connect().play(
        "
        > HINCRBY h n 5
        5
        > HINCRBY h n -7
        -2
        > HINCRBY h n 9223372036854775807
        9223372036854775805
        > HINCRBY h n 9223372036854775807
        (ERR increment or decrement would overflow)
        > HINCRBYFLOAT h f 1.5
        1.5
        > HINCRBYFLOAT h f -0.25
        1.25
        > HSET h e 5.0e3
        1
        > HINCRBYFLOAT h e 200
        5200
        > HSET h max 1.1e4932
        1
        > HINCRBYFLOAT h max 1.1e4932
        (ERR increment would produce NaN or Infinity)
        > HINCRBY h f 1
        (ERR hash value is not an integer)
        > HGET h n
        9223372036854775805
        ",
    );
}

#[test]
fn small_hashes_are_listpacks() {
    let server = Server::start(&["--hash-max-listpack-entries", "3", "--hash-max-listpack-value", "10"]);
    server.connect().play(
        "
        > HSET h a 1 b 2 c 3
        3
        > OBJECT ENCODING h
        listpack
        > HSET h d 4
        1
        > OBJECT ENCODING h
        hashtable
        > HDEL h a b c
        3
        > OBJECT ENCODING h
        hashtable
        > HSET i a 1 a 2 a 3 a 4
        1
        > OBJECT ENCODING i
        hashtable
        > HSET j a 1234567890
        1
        > OBJECT ENCODING j
        listpack
        > HSET j a 12345678901
        0
        > OBJECT ENCODING j
        hashtable
        > HSET k 12345678901 a
        1
        > OBJECT ENCODING k
        hashtable
        > HINCRBY l n 1234567890
        1234567890
        > OBJECT ENCODING l
        listpack
        > HINCRBY l n 12345678900
        13580246790
        > OBJECT ENCODING l
        hashtable
        ",
    );
}

#[test]
fn random_fields_and_scans() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > HSET h only value
        1
        > HRANDFIELD h
        only
        > HRANDFIELD h 0
        []
        > HRANDFIELD h 5
        [only]
        > HRANDFIELD h 5 WITHVALUES
        [only value]
        > HRANDFIELD h -3
        [only only only]
        > HRANDFIELD h -2 WITHVALUES
        [only value only value]
        > HSCAN h 0
        [0 [only value]]
        > HSCAN h 7 NOVALUES COUNT 1
        [0 [only]]
        > HSCAN h 0 MATCH x*
        [0 []]
        ",
    );
    client.ask("HELLO 3");
    client.play(
        "
        > HGETALL h
        {only value}
        > HGETALL none
        {}
        > HRANDFIELD h 1 WITHVALUES
        [[only value]]
        > HRANDFIELD h -2 WITHVALUES
        [[only value] [only value]]
        > HRANDFIELD h 1
        [only]
        > HSCAN h 0
        [0 [only value]]
        ",
    );
    client.ask("HELLO 2");
    for number in 0..2000 {
        assert_eq!(client.ask(&format!("HSET large field:{number} {number}")), "1");
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = client.ask(&format!("HSCAN large {cursor} MATCH field:1* COUNT 100 NOVALUES"));
        let words: Vec<_> = reply.split([' ', '[', ']']).filter(|word| !word.is_empty()).collect();
        cursor = words[0].to_owned();
        assert!(words.len() < 400, "a step is a part of all");
        seen.extend(words[1..].iter().map(|word| (*word).to_owned()));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 1111);
    assert!(seen.iter().all(|field| field.starts_with("field:1")));
}

#[test]
fn hashes_are_copied_moved_and_compared() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    server.connect().play(
        "
        > HSET h a 1 b 2
        2
        > DEBUG DIGEST-VALUE h
        [6c8f22b3bf510fdcfd6122dd0f908a80e88243bf]
        > COPY h i
        1
        > HSET i a 3
        0
        > HGETALL h
        [a 1 b 2]
        > HGETALL i
        [a 3 b 2]
        > RENAME i j
        OK
        > MOVE j 1
        1
        > SELECT 1
        OK
        > HGET j a
        3
        > SCAN 0 TYPE hash
        [0 [j]]
        > SCAN 0 TYPE list
        [0 []]
        ",
    );
}

#[test]
fn changes_of_hashes_are_told() {
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let mut listener = server.connect();
    listener.ask("PSUBSCRIBE __keyevent@0__:*");
    let mut client = server.connect();
    for request in [
        "HSET h a 1",
        "HSETNX h a 2",
        "HMSET h b 2",
        "HINCRBY h a 1",
        "HINCRBYFLOAT h a 1",
        "HDEL h x",
        "HDEL h a",
        "HDEL h b",
    ] {
        client.ask(request);
    }
    for event in ["hset", "hset", "hincrby", "hincrbyfloat", "hdel", "hdel", "del"] {
        assert_eq!(listener.reply(), format!("[pmessage __keyevent@0__:* __keyevent@0__:{event} h]"));
    }
}
