//! Commands on places, through a socket.

use crate::support::Server;

const SICILY: &str = "
    > GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
    2
";

#[test]
fn places_are_kept_and_told() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(SICILY);
    client.play(
        "
        > GEODIST Sicily Palermo Catania
        166274.1516
        > GEODIST Sicily Palermo Catania km
        166.2742
        > GEODIST Sicily Palermo Catania MI
        103.3182
        > GEODIST Sicily Palermo Rome
        nil
        > GEODIST Sicily Palermo Catania yard
        (ERR unsupported unit provided. please use M, KM, FT, MI)
        > GEOHASH Sicily Palermo Catania Rome
        [sqc8b49rny0 sqdtr74hyu0 nil]
        > GEOPOS Sicily Palermo Rome
        [[13.36138933897018433 38.11555639549629859] nil]
        > ZSCORE Sicily Palermo
        3479099956230698
        > TYPE Sicily
        zset
        > GEOPOS nowhere a
        [nil]
        > GEOADD Sicily NX 1 1 Palermo 2 2 Syracuse
        1
        > GEOADD Sicily XX CH 3 3 Syracuse 4 4 Trapani
        1
        > ZCARD Sicily
        3
        > GEOADD Sicily NX XX 1 1 a
        (ERR syntax error)
        > GEOADD Sicily 1 1 a 2 2
        (ERR syntax error)
        > GEOADD Sicily 200 1 a
        (ERR invalid longitude,latitude pair 200.000000,1.000000)
        > GEOADD Sicily x 1 a
        (ERR value is not a valid float)
        > ZCARD Sicily
        3
        ",
    );
}

#[test]
fn places_near_are_found() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(SICILY);
    client.play(
        "
        > GEOADD Sicily 12.758489 38.788135 edge1 17.241510 38.788135 edge2
        2
        > GEOSEARCH Sicily FROMLONLAT 15 37 BYRADIUS 200 km ASC
        [Catania Palermo]
        > GEOSEARCH Sicily FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST WITHHASH COUNT 1
        [[Catania 56.4413 3479447370796909 [15.08726745843887329 37.50266842333162032]]]
        > GEOSEARCH Sicily FROMMEMBER Palermo BYRADIUS 100 km DESC WITHDIST
        [[edge1 91.4007] [Palermo 0.0000]]
        > GEORADIUS Sicily 15 37 200 km DESC
        [Palermo Catania]
        > GEORADIUSBYMEMBER_RO Sicily Catania 200 km COUNT 1 ASC
        [Catania]
        > GEOSEARCH Sicily FROMMEMBER Rome BYRADIUS 1 km
        (ERR could not decode requested zset member)
        > GEOSEARCH nowhere FROMMEMBER Rome BYRADIUS 1 km
        []
        > GEOSEARCH Sicily BYRADIUS 1 km ASC COUNT 1
        (ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH)
        > GEOSEARCH Sicily FROMLONLAT 1 1 ASC COUNT 1
        (ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for GEOSEARCH)
        > GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS -1 km
        (ERR radius cannot be negative)
        > GEOSEARCH Sicily FROMLONLAT 1 1 BYBOX x 1 km
        (ERR need numeric width)
        > GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 km ANY
        (ERR the ANY argument requires COUNT argument)
        > GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 km COUNT 0
        (ERR COUNT must be > 0)
        > GEORADIUS_RO Sicily 15 37 200 km STORE out
        (ERR syntax error)
        ",
    );
}

#[test]
fn places_are_found_in_a_polygon() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.play(
        "
        > GEOADD p 0 0 origin 1 1 a 2 2 b -1 -1 c 5 5 d 0.5 0.5 e
        6
        > GEOSEARCH p BYPOLYGON 4 -3 -3 3 -3 3 3 -3 3 ASC COUNT 2 WITHDIST
        [[origin 0.3300] [e 78648.2926]]
        > GEOSEARCH p BYPOLYGON 3 -3 -3 3 -3 3 3 ASC WITHDIST WITHHASH
        [[origin 157517.5191 3377699720527872] [a 222678.7239 3377822707026402] [b 351909.2041 3378191666521995]]
        > GEOSEARCHSTORE out p BYPOLYGON 3 -3 -3 3 -3 3 3 STOREDIST
        3
        > ZSCORE out b
        3.519092041057123e+5
        > GEOSEARCH none BYPOLYGON 3 -3 -3 3 -3 3 3
        []
        > GEOSEARCH p BYPOLYGON 2 -3 -3 3 -3
        (ERR GEOSEARCH BYPOLYGON must have at least 3 vertices)
        > GEOSEARCH p BYPOLYGON 4 -3 -3 3 -3 3 3
        (ERR GEOSEARCH BYPOLYGON must have at least 3 vertices)
        > GEOSEARCH p BYPOLYGON x -3 -3 3 -3
        (ERR invalid number of vertices)
        > GEOSEARCH p BYPOLYGON 2147483648 -3 -3 3 -3
        (ERR invalid number of vertices)
        > GEOSEARCH p BYPOLYGON 3 1 1 2 2 3 99
        (ERR invalid longitude,latitude pair 3.000000,99.000000)
        > GEOSEARCH p BYPOLYGON 3 -3 -3 3 -3 3 3 FROMLONLAT 0 0
        (ERR syntax error)
        > GEOSEARCH p FROMMEMBER a BYPOLYGON 3 -3 -3 3 -3 3 3
        (ERR syntax error)
        > GEOSEARCH p BYRADIUS 3 km BYPOLYGON 3 -3 -3 3 -3 3 3
        (ERR syntax error)
        > GEORADIUS p 1 1 1 m BYPOLYGON 3 -3 -3 3 -3 3 3
        (ERR syntax error)
        ",
    );
}

#[test]
fn what_is_found_is_stored() {
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let mut client = server.connect();
    client.play(SICILY);
    let mut listener = server.connect();
    assert_eq!(listener.ask("SUBSCRIBE __keyspace@0__:out"), "[subscribe __keyspace@0__:out 1]");
    client.play(
        "
        > GEOSEARCHSTORE out Sicily FROMLONLAT 15 37 BYRADIUS 200 km ASC
        2
        > GEOSEARCH out FROMMEMBER Catania BYRADIUS 1 m
        [Catania]
        > GEORADIUS Sicily 15 37 200 km STOREDIST out
        2
        > ZRANGE out 0 -1
        [Catania Palermo]
        > ZRANGEBYSCORE out 56 57
        [Catania]
        > GEORADIUS Sicily 15 37 200 km STORE other STORE out
        2
        > EXISTS other
        0
        > GEORADIUSBYMEMBER Sicily Catania 200 km STORE out WITHDIST
        (ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options)
        > GEOSEARCHSTORE out Sicily FROMLONLAT 0 0 BYRADIUS 1 m
        0
        > EXISTS out
        0
        > SET text x
        OK
        > GEOSEARCHSTORE out text FROMLONLAT 0 0 BYRADIUS 1 m
        (WRONGTYPE Operation against a key holding the wrong kind of value)
        ",
    );
    for event in ["geosearchstore", "georadiusstore", "georadiusstore", "del"] {
        assert_eq!(listener.reply(), format!("[message __keyspace@0__:out {event}]"));
    }
}
