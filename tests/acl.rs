//! Users: what they may do, and what is answered where they may not.

use crate::support::Server;

#[test]
fn users_do_what_they_may() {
    let server = Server::start(&[]);
    let (mut owner, mut guest) = (server.connect(), server.connect());
    owner.play(
        "
        > ACL SETUSER guest on >secret ~a* %R~r* &news.* +@all -@dangerous +sort
        OK
        > SET r1 v
        OK
        ",
    );
    guest.play(
        "
        > ACL WHOAMI
        default
        > AUTH guest wrong
        (WRONGPASS invalid username-password pair or user is disabled.)
        > AUTH guest secret
        OK
        > ACL WHOAMI
        guest
        > SET a1 v
        OK
        > GET r1
        v
        > SET r1 w
        (NOPERM this user has no permissions to access one of the keys used as arguments)
        > FLUSHALL
        (NOPERM this user has no permissions to run the 'flushall' command)
        > PUBLISH other m
        (NOPERM this user has no permissions to access one of the channels used as arguments)
        > ACL SETUSER guest +@all
        (NOPERM this user has no permissions to run the 'acl|setuser' command)
        > SORT r1 BY w*
        (ERR BY option of SORT denied due to insufficient ACL permissions.)
        > MULTI
        OK
        > SET b 1
        (NOPERM this user has no permissions to access one of the keys used as arguments)
        > EXEC
        (EXECABORT Transaction discarded because of previous errors.)
        > MULTI
        OK
        > SET a2 1
        QUEUED
        > PING
        QUEUED
        ",
    );
    owner.play(
        "
        > ACL SETUSER guest -set
        OK
        ",
    );
    guest.play(
        "
        > EXEC
        [(NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand) PONG]
        > GET a2
        nil
        > RESET
        RESET
        > ACL WHOAMI
        default
        > SET r1 w
        OK
        ",
    );
    let log = owner.ask("ACL LOG 1");
    assert!(log.contains("multi") && log.contains("set") && log.contains("guest"), "{log}");
    let stats = owner.ask("INFO stats");
    for line in [
        "acl_access_denied_auth:1",
        "acl_access_denied_cmd:3",
        "acl_access_denied_key:2",
        "acl_access_denied_channel:1",
    ] {
        assert!(stats.contains(line), "{line} in {stats}");
    }
}

#[test]
fn who_is_removed_is_gone_and_who_may_not_listen_any_more_too() {
    let server = Server::start(&[]);
    let (mut owner, mut one, mut other) = (server.connect(), server.connect(), server.connect());
    owner.play(
        "
        > ACL SETUSER one on nopass allchannels +@all
        OK
        > ACL SETUSER other on nopass &a &b +@all
        OK
        ",
    );
    one.ask("AUTH one x");
    other.ask("AUTH other x");
    other.ask("SUBSCRIBE a");
    owner.play(
        "
        > ACL SETUSER other resetchannels &a
        OK
        > PUBSUB NUMSUB a
        [a 1]
        > ACL SETUSER other resetchannels &b
        OK
        > ACL DELUSER one nobody
        1
        > ACL DELUSER default
        (ERR The 'default' user cannot be removed)
        > ACL GETUSER one
        nil
        ",
    );
    assert!(one.is_closed() && other.is_closed());
}

#[test]
fn the_default_user_may_be_closed_and_requirepass_is_its_password() {
    let server = Server::start(&["--requirepass", "x"]);
    let (mut owner, mut other) = (server.connect(), server.connect());
    other.play(
        "
        > PING
        (NOAUTH Authentication required.)
        > AUTH y
        (WRONGPASS invalid username-password pair or user is disabled.)
        > AUTH x
        OK
        ",
    );
    owner.play(
        "
        > AUTH default x
        OK
        ",
    );
    assert_eq!(owner.ask_words(&["CONFIG", "SET", "requirepass", ""]), "OK");
    owner.play(
        "
        > AUTH x
        (ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?)
        > ACL SETUSER default off
        OK
        ",
    );
    let mut late = server.connect();
    late.play(
        "
        > PING
        (NOAUTH Authentication required.)
        > AUTH default whatever
        (WRONGPASS invalid username-password pair or user is disabled.)
        ",
    );
    other.play(
        "
        > PING
        PONG
        ",
    );
}

#[test]
fn users_live_in_the_configuration_or_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (config, users) = (directory.path().join("redis.conf"), directory.path().join("users.acl"));
    let (config_path, users_path) = (config.to_str().unwrap(), users.to_str().unwrap());
    std::fs::write(&config, "user one on >x ~k +get\n").unwrap();
    let server = Server::start_with_file(config_path, &[]);
    let mut owner = server.connect();
    owner.play(
        "
        > ACL SAVE
        (ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.)
        > ACL SETUSER one +set (+del ~d)
        OK
        > CONFIG REWRITE
        OK
        ",
    );
    let text = std::fs::read_to_string(&config).unwrap();
    let one = "user one on #2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 ~k resetchannels \
               -@all +get +set (~d resetchannels -@all +del)\n";
    assert!(text.contains(one), "{text}");
    assert!(text.contains("user default on nopass ~* &* +@all\n"), "{text}");

    std::fs::write(&users, one).unwrap();
    let server = Server::start(&["--aclfile", users_path]);
    let (mut owner, mut guest) = (server.connect(), server.connect());
    guest.ask("AUTH one x");
    owner.play(
        "
        > ACL USERS
        [default one]
        ",
    );
    assert_eq!(guest.ask("GET k"), "nil");
    std::fs::write(&users, "user one on nopass\n").unwrap();
    assert_eq!(owner.ask("ACL LOAD"), "OK");
    assert!(guest.is_closed(), "its rules are others now");
    std::fs::write(&users, "user one on foo\n").unwrap();
    assert_eq!(
        owner.ask("ACL LOAD"),
        format!(
            "(ERR {users_path}:1: Syntax error. WARNING: ACL errors detected, no change to the previously active ACL rules was performed)"
        )
    );
}

#[test]
fn what_was_done_is_done_again_whatever_the_default_user_may() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let server = Server::start(&["--appendonly", "yes", "--appendfsync", "always", "--dir", data]);
    server.connect().play(
        "
        > MULTI
        OK
        > SET k v
        QUEUED
        > SET l v
        QUEUED
        > EXEC
        [OK OK]
        ",
    );
    drop(server);
    let config = directory.path().join("redis.conf");
    std::fs::write(&config, "user default on nopass ~k +get\n").unwrap();
    let server = Server::start_with_file(config.to_str().unwrap(), &["--appendonly", "yes", "--dir", data]);
    server.connect().play(
        "
        > GET k
        v
        > SET k w
        (NOPERM this user has no permissions to run the 'set' command)
        > GET l
        (NOPERM this user has no permissions to access one of the keys used as arguments)
        ",
    );
}
