//! Commands on sorted sets, through a socket.

use crate::support::{Server, eventually};

/// Plays a conversation with sets that are packed, and with sets that are not.
fn play_with_both_forms(conversation: &str) {
    for entries_max in ["128", "0"] {
        let server = Server::start(&["--zset-max-listpack-entries", entries_max, "--enable-debug-command", "yes"]);
        server.connect().play(conversation);
    }
}

#[test]
fn members_get_scores() {
    play_with_both_forms(
        "
        > ZADD z 2 b 1 a
        2
        > ZADD z 1 a 3 b 5 c
        1
        > ZADD z CH 1 a 4 b 6 d
        2
        > ZADD z NX 9 a 9 e
        1
        > ZADD z XX CH 8 e 8 f
        1
        > ZADD z GT CH 7 e 9 a
        1
        > ZADD z LT CH 7 e 10 a
        1
        > ZADD z GT XX 1 new
        0
        > ZADD z NX CH 1 new
        1
        > ZADD z INCR 2.5 new
        3.5
        > ZADD z INCR XX 1 other
        nil
        > ZADD z INCR NX 1 new
        nil
        > ZADD z GT INCR -1 new
        nil
        > ZADD z INCR LT -1 new
        2.5
        > ZADD none XX 1 a
        0
        > EXISTS none
        0
        > ZRANGE z 0 -1 WITHSCORES
        [new 2.5 b 4 c 5 d 6 e 7 a 9]
        > ZINCRBY z 0.1 new
        2.6
        > ZINCRBY z -3 unknown
        -3
        > ZADD z inf top -inf low
        2
        > ZINCRBY z -inf top
        (ERR resulting score is not a number (NaN))
        > ZINCRBY z +inf top
        inf
        > ZSCORE z top
        inf
        > ZSCORE z nobody
        nil
        > ZSCORE none nobody
        nil
        > ZMSCORE z a nobody low
        [9 nil -inf]
        > ZMSCORE none a b
        [nil nil]
        > ZCARD z
        9
        > ZCARD none
        0
        > ZRANK z low
        0
        > ZREVRANK z low
        8
        > ZRANK z a WITHSCORE
        [7 9]
        > ZREVRANK z a WITHSCORE
        [1 9]
        > ZRANK z nobody
        nil
        > ZRANK z nobody WITHSCORE
        nil
        > ZRANK none a WITHSCORE
        nil
        > ZADD z 1  1 7 1 -07
        3
        > ZRANGE z 1 1 BYSCORE
        [ -07 7]
        > ZREM z nobody a low a
        2
        > ZREM none a
        0
        > ZREM z b c  d e f new unknown top 7 -07
        10
        > EXISTS z
        0
        > ZADD z 1e17 x 4611686018427387904 y 0.1 w 1e-7 v -1.5e300 u
        5
        > ZRANGE z 0 -1 WITHSCORES
        [u -1.5e+300 v 1e-7 w 0.1 x 100000000000000000 y 4611686018427387904]
        > TYPE z
        zset
        ",
    );
}

#[test]
fn ranges_go_by_rank_score_and_member() {
    play_with_both_forms(
        "
        > ZADD z 1 a 2 b 2 c 3 d 5.5 e
        5
        > ZRANGE z 0 -1
        [a b c d e]
        > ZRANGE z 1 2
        [b c]
        > ZRANGE z -2 100
        [d e]
        > ZRANGE z 3 1
        []
        > ZRANGE z 7 9
        []
        > ZRANGE z 0 1 REV WITHSCORES
        [e 5.5 d 3]
        > ZREVRANGE z 0 1
        [e d]
        > ZREVRANGE z -2 -1 WITHSCORES
        [b 2 a 1]
        > ZRANGE z (1 3 BYSCORE
        [b c d]
        > ZRANGE z 3 (1 BYSCORE REV WITHSCORES
        [d 3 c 2 b 2]
        > ZRANGE z -inf +inf BYSCORE LIMIT 1 2
        [b c]
        > ZRANGE z +inf -inf BYSCORE REV LIMIT 1 2
        [d c]
        > ZRANGE z -inf +inf BYSCORE LIMIT 3 -1
        [d e]
        > ZRANGE z -inf +inf BYSCORE LIMIT -1 2
        []
        > ZRANGE z -inf +inf BYSCORE LIMIT 9 2
        []
        > ZRANGE z -inf +inf BYSCORE LIMIT 0 0
        []
        > ZRANGEBYSCORE z 2 5.5 WITHSCORES LIMIT 1 2
        [c 2 d 3]
        > ZRANGEBYSCORE z (5.5 9
        []
        > ZRANGEBYSCORE z 3 2
        []
        > ZREVRANGEBYSCORE z 5.5 2 LIMIT 0 3
        [e d c]
        > ZRANGE none 0 -1 WITHSCORES
        []
        > ZRANGE none 0 -1 BYSCORE LIMIT 0 1
        []
        > ZCOUNT z 2 (5.5
        3
        > ZCOUNT z 9 1
        0
        > ZCOUNT none 0 1
        0
        > ZADD l 0 a 0 b 0 ba 0 c 0 d
        5
        > ZRANGE l [b (c BYLEX
        [b ba]
        > ZRANGE l (c [b BYLEX REV
        [ba b]
        > ZRANGEBYLEX l - +
        [a b ba c d]
        > ZRANGEBYLEX l (b + LIMIT 1 2
        [c d]
        > ZRANGEBYLEX l + -
        []
        > ZREVRANGEBYLEX l + (a LIMIT 0 2
        [d c]
        > ZREVRANGEBYLEX l [b -
        [b a]
        > ZLEXCOUNT l [b [c
        3
        > ZLEXCOUNT l - (b
        1
        > ZLEXCOUNT none - +
        0
        > ZRANGESTORE to z 1 2
        2
        > ZRANGE to 0 -1 WITHSCORES
        [b 2 c 2]
        > ZRANGESTORE to l + [b BYLEX REV LIMIT 0 2
        2
        > ZRANGE to 0 -1 WITHSCORES
        [c 0 d 0]
        > ZRANGESTORE z z (1 (5.5 BYSCORE
        3
        > ZRANGE z 0 -1 WITHSCORES
        [b 2 c 2 d 3]
        > ZRANGESTORE to z 7 9
        0
        > EXISTS to
        0
        > ZRANGESTORE to none 0 -1
        0
        > SET to string
        OK
        > ZRANGESTORE to z 0 0
        1
        > TYPE to
        zset
        > ZREMRANGEBYRANK z 1 1
        1
        > ZREMRANGEBYRANK z 5 9
        0
        > ZREMRANGEBYSCORE z -inf (3
        1
        > ZRANGE z 0 -1
        [d]
        > ZREMRANGEBYRANK z 0 -1
        1
        > EXISTS z
        0
        > ZREMRANGEBYLEX l [b (c
        2
        > ZREMRANGEBYLEX l - +
        3
        > ZREMRANGEBYLEX l - +
        0
        > EXISTS l
        0
        > ZREMRANGEBYRANK none 0 1
        0
        ",
    );
}

#[test]
fn the_lowest_and_highest_are_popped() {
    play_with_both_forms(
        "
        > ZADD z 1 a 2 b 3 c 4 d 5 e 6 f
        6
        > ZPOPMIN z
        [a 1]
        > ZPOPMAX z
        [f 6]
        > ZPOPMIN z 0
        []
        > ZPOPMAX z 2
        [e 5 d 4]
        > ZPOPMIN none
        []
        > ZPOPMIN none 2
        []
        > ZMPOP 2 none z MIN
        [z [[b 2]]]
        > ZMPOP 2 none z MAX COUNT 10
        [z [[c 3]]]
        > EXISTS z
        0
        > ZMPOP 1 z MIN
        nil
        > ZADD y 1 a 2 b 3 c
        3
        > BZPOPMIN none y 0
        [y a 1]
        > BZPOPMAX none y 0.1
        [y c 3]
        > BZMPOP 0 2 none y MAX COUNT 5
        [y [[b 2]]]
        > BZPOPMIN y none 0.01
        nil
        > BZMPOP 0.01 1 y MIN
        nil
        > MULTI
        OK
        > BZPOPMIN none 0
        QUEUED
        > BZMPOP 0 1 none MIN
        QUEUED
        > EXEC
        [nil nil]
        ",
    );
}

#[test]
fn sets_are_put_together() {
    play_with_both_forms(
        "
        > ZADD a 1 x 2 y 3 z
        3
        > ZADD b 10 y 20 z 30 w
        3
        > ZADD i inf x -inf y
        2
        > ZADD j -inf x 5 y
        2
        > ZUNION 2 a b
        [x y z w]
        > ZUNION 2 a b WITHSCORES
        [x 1 y 12 z 23 w 30]
        > ZUNION 2 a b WEIGHTS 2 0.5 AGGREGATE MAX WITHSCORES
        [x 2 y 5 z 10 w 15]
        > ZUNION 3 a none b AGGREGATE MIN WITHSCORES
        [x 1 y 2 z 3 w 30]
        > ZUNION 2 i j WITHSCORES
        [y -inf x 0]
        > ZUNION 1 i WEIGHTS 0 WITHSCORES
        [x 0 y 0]
        > ZINTER 2 a b WITHSCORES
        [y 12 z 23]
        > ZINTER 2 a b WEIGHTS 1 -1 AGGREGATE MIN WITHSCORES
        [z -20 y -10]
        > ZINTER 2 a a WITHSCORES
        [x 2 y 4 z 6]
        > ZINTER 2 a none
        []
        > ZINTER 2 i j WITHSCORES
        [y -inf x 0]
        > ZDIFF 2 a b WITHSCORES
        [x 1]
        > ZDIFF 1 none
        []
        > ZDIFF 2 a none
        [x y z]
        > ZDIFF 2 a a
        []
        > ZINTERCARD 2 a b
        2
        > ZINTERCARD 2 a b LIMIT 1
        1
        > ZINTERCARD 2 a b LIMIT 0
        2
        > ZINTERCARD 2 a none
        0
        > ZUNIONSTORE a 2 a b
        4
        > ZRANGE a 0 -1 WITHSCORES
        [x 1 y 12 z 23 w 30]
        > ZINTERSTORE to 2 a b WEIGHTS 1 0
        3
        > ZRANGE to 0 -1 WITHSCORES
        [y 12 z 23 w 30]
        > ZDIFFSTORE to 2 a b
        1
        > ZRANGE to 0 -1 WITHSCORES
        [x 1]
        > ZDIFFSTORE to 2 a a
        0
        > EXISTS to
        0
        > SET to string
        OK
        > ZINTERSTORE to 2 none a
        0
        > EXISTS to
        0
        > ZUNIONSTORE to 1 none
        0
        ",
    );
}

#[test]
fn sets_are_taken_for_sorted_sets_whose_scores_are_one() {
    play_with_both_forms(
        "
        > ZADD z 2 x 5 y
        2
        > SADD s x q
        2
        > ZUNION 2 z s WEIGHTS 1 3 WITHSCORES
        [q 3 x 5 y 5]
        > ZINTER 2 s z WITHSCORES
        [x 3]
        > ZDIFF 2 z s WITHSCORES
        [y 5]
        > ZDIFF 2 s z
        [q]
        > ZINTERCARD 2 z s
        1
        > SADD integers 5 7
        2
        > ZADD numbers 1 7 2 8
        2
        > ZINTER 2 integers numbers WITHSCORES
        [7 2]
        > ZUNIONSTORE to 1 s
        2
        > TYPE to
        zset
        > ZINTERSTORE s 2 s z AGGREGATE MAX
        1
        > ZRANGE s 0 -1 WITHSCORES
        [x 2]
        ",
    );
}

#[test]
fn members_are_scanned_and_drawn() {
    play_with_both_forms(
        "
        > ZADD z 0.5 a
        1
        > ZSCAN z 0
        [0 [a 0.5]]
        > ZSCAN z 0 NOSCORES
        [0 [a]]
        > ZSCAN z 0 MATCH b* COUNT 5
        [0 []]
        > ZSCAN none 0
        [0 []]
        > ZRANDMEMBER z
        a
        > ZRANDMEMBER z 5
        [a]
        > ZRANDMEMBER z -3
        [a a a]
        > ZRANDMEMBER z 0
        []
        > ZRANDMEMBER z -2 WITHSCORES
        [a 0.5 a 0.5]
        > ZRANDMEMBER none
        nil
        > ZRANDMEMBER none -3
        []
        > COPY z y
        1
        > ZADD z 1 b
        1
        > ZRANGE y 0 -1
        [a]
        > DEBUG DIGEST-VALUE z y
        [2d9cffeed1a69037dd823b54b0a8808e5bc1c505 5b4ef000d2d27bfd66346a2d8664f49ec350722e]
        > OBJECT REFCOUNT z
        1
        ",
    );
}

#[test]
fn replies_are_typed_where_the_protocol_has_types() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.ask("HELLO 3");
    client.play(
        "
        > ZADD z 1 a 2.5 b inf c
        3
        > ZRANGE z 0 0 WITHSCORES
        [[a 1]]
        > ZRANGE z 0 0
        [a]
        > ZSCORE z b
        2.5
        > ZSCORE z none
        nil
        > ZMSCORE z a none
        [1 nil]
        > ZADD z INCR 1 a
        2
        > ZADD z INCR NX 1 a
        nil
        > ZINCRBY z 1 a
        3
        > ZRANK z a WITHSCORE
        [1 3]
        > ZRANK z none WITHSCORE
        nil
        > ZADD one 1 a
        1
        > ZRANDMEMBER one -1 WITHSCORES
        [[a 1]]
        > ZUNION 1 z WITHSCORES
        [[b 2.5] [a 3] [c inf]]
        > ZSCAN z 0 MATCH b
        [0 [b 2.5]]
        > ZPOPMIN z
        [b 2.5]
        > ZPOPMIN z 1
        [[a 3]]
        > ZPOPMIN none 1
        []
        > ZMPOP 1 z MIN COUNT 3
        [z [[c inf]]]
        > ZMPOP 1 z MIN
        nil
        ",
    );
}

#[test]
fn wrong_requests_are_refused_and_change_nothing() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > SET s string
        OK
        > ZADD z 1 a
        1
        > ZADD s 1 a
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > ZADD s x a
        (ERR value is not a valid float)
        > ZADD s XX 1 a
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > ZADD z 1
        (ERR wrong number of arguments for 'zadd' command)
        > ZADD z 1 a 2
        (ERR syntax error)
        > ZADD z NX 1
        (ERR syntax error)
        > ZADD z x a
        (ERR value is not a valid float)
        > ZADD z 1 b x a
        (ERR value is not a valid float)
        > ZADD z nan a
        (ERR value is not a valid float)
        > ZADD z 0x1 a
        (ERR value is not a valid float)
        > ZADD z NX XX 1 a
        (ERR XX and NX options at the same time are not compatible)
        > ZADD z NX GT 1 a
        (ERR GT, LT, and/or NX options at the same time are not compatible)
        > ZADD z GT LT 1 a
        (ERR GT, LT, and/or NX options at the same time are not compatible)
        > ZADD z INCR 1 a 2 b
        (ERR INCR option supports a single increment-element pair)
        > ZADD z FOO 1 a
        (ERR syntax error)
        > ZINCRBY z x a
        (ERR value is not a valid float)
        > ZINCRBY z NX 1
        (ERR syntax error)
        > ZADD i inf a
        1
        > ZINCRBY i -inf a
        (ERR resulting score is not a number (NaN))
        > ZADD i INCR -inf a
        (ERR resulting score is not a number (NaN))
        > ZRANK z a WITHSCORES
        (ERR syntax error)
        > ZRANK z a WITHSCORE x
        (ERR wrong number of arguments for 'zrank' command)
        > ZRANGE z 0 x
        (ERR value is not an integer or out of range)
        > ZRANGE z 0 -1 LIMIT 0 1
        (ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX)
        > ZRANGE z 0 -1 LIMIT 0
        (ERR syntax error)
        > ZRANGE z 0 -1 LIMIT x 1
        (ERR value is not an integer or out of range)
        > ZRANGE z 0 -1 REV REV
        (ERR syntax error)
        > ZRANGE z 0 -1 BYSCORE BYLEX
        (ERR syntax error)
        > ZRANGE z a b BYSCORE
        (ERR min or max is not a float)
        > ZRANGE z a b BYLEX
        (ERR min or max not valid string range item)
        > ZRANGE z - ++ BYLEX
        (ERR min or max not valid string range item)
        > ZRANGE z - + BYLEX WITHSCORES
        (ERR syntax error, WITHSCORES not supported in combination with BYLEX)
        > ZREVRANGE z 0 -1 REV
        (ERR syntax error)
        > ZRANGEBYLEX z - + WITHSCORES
        (ERR syntax error, WITHSCORES not supported in combination with BYLEX)
        > ZRANGESTORE to z 0 -1 WITHSCORES
        (ERR syntax error)
        > ZRANGE s 0 -1
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > ZRANGESTORE to s 0 -1
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > ZCOUNT z 0 x
        (ERR min or max is not a float)
        > ZLEXCOUNT z - x
        (ERR min or max not valid string range item)
        > ZREMRANGEBYRANK z 0 x
        (ERR value is not an integer or out of range)
        > ZREMRANGEBYSCORE z 0 x
        (ERR min or max is not a float)
        > ZREMRANGEBYLEX z 0 +
        (ERR min or max not valid string range item)
        > ZPOPMIN z -1
        (ERR value is out of range, must be positive)
        > ZPOPMIN z 1 2
        (ERR syntax error)
        > ZPOPMIN s
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > ZMPOP 0 z MIN
        (ERR numkeys should be greater than 0)
        > ZMPOP 2 z MIN
        (ERR syntax error)
        > ZMPOP 1 z FOO
        (ERR syntax error)
        > ZMPOP 1 z MIN COUNT 0
        (ERR count should be greater than 0)
        > ZMPOP 1 z MIN COUNT 1 COUNT 1
        (ERR syntax error)
        > ZMPOP 1 s MIN
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > BZPOPMIN z x
        (ERR timeout is not a float or out of range)
        > BZPOPMIN s 0
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > BZPOPMIN z -1
        (ERR timeout is negative)
        > BZMPOP -1 1 z MIN
        (ERR timeout is negative)
        > ZUNION 0 z
        (ERR at least 1 input key is needed for 'zunion' command)
        > ZUNION x z
        (ERR value is not an integer or out of range)
        > ZUNION 2 z
        (ERR syntax error)
        > ZUNION 2 z s
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > ZUNION 1 z WEIGHTS
        (ERR syntax error)
        > ZUNION 1 z WEIGHTS x
        (ERR weight value is not a float)
        > ZUNION 1 z AGGREGATE AVG
        (ERR syntax error)
        > ZUNIONSTORE to 1 z WITHSCORES
        (ERR syntax error)
        > ZDIFF 1 z WEIGHTS 1
        (ERR syntax error)
        > ZINTERCARD 1 z LIMIT -1
        (ERR LIMIT can't be negative)
        > ZINTERCARD 0 z
        (ERR at least 1 input key is needed for 'zintercard' command)
        > ZSCAN s 0
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        > ZSCAN z x
        (ERR invalid cursor)
        > ZSCAN z 0 COUNT 0
        (ERR syntax error)
        > ZSCAN z 0 FOO
        (ERR syntax error)
        > ZSCAN z 0 TYPE zset
        (ERR syntax error)
        > ZSCAN z 0 NOVALUES
        (ERR NOVALUES option can only be used in HSCAN)
        > ZRANDMEMBER z x
        (ERR value is not an integer or out of range)
        > ZRANDMEMBER z 1 FOO
        (ERR syntax error)
        > ZRANDMEMBER z -9223372036854775808
        (ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807)
        > ZRANDMEMBER z 9223372036854775807 WITHSCORES
        (ERR value is out of range)
        > ZRANGE z 0 -1 WITHSCORES
        [a 1]
        ",
    );
}

#[test]
fn small_sets_are_packed_as_the_directives_say() {
    let server = Server::start(&["--zset-max-listpack-entries", "2", "--zset-max-listpack-value", "4"]);
    server.connect().play(
        "
        > ZADD z 1 a 2 b
        2
        > OBJECT ENCODING z
        listpack
        > ZADD z 3 c
        1
        > OBJECT ENCODING z
        skiplist
        > ZREM z b c
        2
        > OBJECT ENCODING z
        skiplist
        > ZADD long 1 abcd
        1
        > OBJECT ENCODING long
        listpack
        > ZADD long 2 abcde
        1
        > OBJECT ENCODING long
        skiplist
        > ZADD many 1 a 1 b 1 c
        3
        > OBJECT ENCODING many
        skiplist
        > ZRANGESTORE to many 0 1
        2
        > OBJECT ENCODING to
        listpack
        > ZUNIONSTORE to 1 many
        3
        > OBJECT ENCODING to
        skiplist
        > ZINTERSTORE to 2 z many
        1
        > OBJECT ENCODING to
        listpack
        > COPY many to REPLACE
        1
        > OBJECT ENCODING to
        skiplist
        > ZRANGE to 0 -1
        [a b c]
        > CONFIG SET zset-max-ziplist-entries 100
        OK
        > ZADD other 1 a 1 b 1 c
        3
        > OBJECT ENCODING other
        listpack
        > OBJECT ENCODING many
        skiplist
        ",
    );
}

#[test]
fn a_large_set_is_scanned_measured_and_freed() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for begin in (0..20_000).step_by(1000) {
        let mut words = vec!["ZADD".to_owned(), "z".to_owned()];
        words
            .extend((begin..begin + 1000).flat_map(|number| [format!("{}", number % 500), format!("member:{number}")]));
        assert_eq!(client.ask_words(&words.iter().map(String::as_str).collect::<Vec<_>>()), "1000");
    }
    let mut cursor = "0".to_owned();
    let mut members = 0;
    loop {
        let step = client.ask(&format!("ZSCAN z {cursor} COUNT 100 NOSCORES"));
        let (next, found) = step.trim_matches(['[', ']']).split_once(" [").expect("a cursor and members");
        members += found.split(' ').filter(|member| !member.is_empty()).count();
        cursor = next.to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(members, 20_000);
    let bytes: usize = client.ask("MEMORY USAGE z").parse().expect("a number of bytes");
    assert!((500_000..1_500_000).contains(&bytes), "{bytes}");
    client.play(
        "
        > ZCOUNT z 100 199
        4000
        > ZRANGE z 10000 10001
        [member:10250 member:10750]
        > ZRANK z member:10250
        10000
        > ZREMRANGEBYSCORE z 100 (400
        12000
        > ZCARD z
        8000
        > ZREVRANGE z 0 1 WITHSCORES
        [member:9999 499 member:999 499]
        > UNLINK z
        1
        > ZCARD z
        0
        ",
    );
    eventually("the set is freed", || server.connect().info("lazyfreed_objects") == "1");
}

#[test]
fn a_scan_shows_all_digits_of_the_scores_of_a_large_set() {
    Server::start(&[]).connect().play(
        "
        > ZADD z 0.1 a 1e18 b 3 c
        3
        > ZSCAN z 0
        [0 [a 0.1 c 3 b 1000000000000000000]]
        > CONFIG SET zset-max-listpack-entries 0
        OK
        > ZADD z 4 d
        1
        > ZSCAN z 0 MATCH a
        [0 [a 0.10000000000000001]]
        > ZSCAN z 0 MATCH b
        [0 [b 1e+18]]
        > ZSCAN z 0 MATCH c
        [0 [c 3]]
        ",
    );
}
