//! Commands on places: sorted sets whose scores stand for them (`value::geo`).

use super::Call;
use super::stored::read;
use super::zset::{self, AddOptions};
use crate::pubsub::Event;
use crate::resp::{CommandResult, ErrorReply, Reply};
use crate::value::double;
use crate::value::geo::{Place, Polygon, Region, Shape};
use crate::value::packed::{Element, IntegerText};
use crate::value::zset::{ScoreBound, SortedSet, SortedSetRef};
use smallvec::SmallVec;

const UNKNOWN_MEMBER: ErrorReply = ErrorReply::fixed("ERR could not decode requested zset member");

/// `GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...]`
pub fn geoadd(call: &mut Call) -> CommandResult {
    let mut options = AddOptions::default();
    let mut first = 2;
    while first < call.args.len() {
        let flag = match () {
            () if call.is_word(first, "NX") => &mut options.new_only,
            () if call.is_word(first, "XX") => &mut options.known_only,
            () if call.is_word(first, "CH") => &mut options.count_changed,
            () => break,
        };
        *flag = true;
        first += 1;
    }
    let given = call.args.len() - first;
    if !given.is_multiple_of(3) || options.new_only && options.known_only {
        return Err(ErrorReply::SYNTAX);
    }
    let args = call.args;
    let mut scores: SmallVec<[f64; 8]> = SmallVec::new();
    for index in (first..args.len()).step_by(3) {
        scores.push(place(call, index)?.to_score());
    }
    if scores.is_empty() {
        return Err(ErrorReply::SYNTAX);
    }
    let members = (first + 2..args.len()).step_by(3).map(|index| args.at(index));
    zset::add_scored(call, options, &scores, members)
}

/// The place that the arguments at `index` and behind it are.
fn place(call: &Call, index: usize) -> Result<Place, ErrorReply> {
    let coordinate = |index| double::parse(call.arg(index)).ok_or(ErrorReply::NOT_FLOAT);
    let (longitude, latitude) = (coordinate(index)?, coordinate(index + 1)?);
    Place::new(longitude, latitude)
        .ok_or_else(|| ErrorReply::new(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// The meters of the unit that the argument at `index` names.
fn unit(call: &Call, index: usize) -> Result<f64, ErrorReply> {
    const UNKNOWN: ErrorReply = ErrorReply::fixed("ERR unsupported unit provided. please use M, KM, FT, MI");
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    units.into_iter().find(|(name, _)| call.is_word(index, name)).map(|(_, meters)| meters).ok_or(UNKNOWN)
}

/// The argument at `index` as a length of nothing or more, called `name`.
fn length(call: &Call, index: usize, name: &str) -> Result<f64, ErrorReply> {
    double::parse(call.arg(index)).ok_or_else(|| ErrorReply::new(format!("ERR need numeric {name}")))
}

fn write_distance(reply: &mut Reply, distance: f64) -> CommandResult {
    reply.bulk(format!("{distance:.4}").as_bytes())
}

/// A place as longitude and latitude, without zeros at their ends.
fn write_place(reply: &mut Reply, place: Place) -> CommandResult {
    reply.array(2)?;
    [place.longitude, place.latitude].into_iter().try_for_each(|degrees| {
        let text = format!("{degrees:.17}");
        reply.double_text(text.trim_end_matches('0').trim_end_matches('.'))
    })
}

fn place_of(set: Option<SortedSetRef<'_>>, member: &[u8]) -> Option<Place> {
    set?.score(member).map(Place::from_score)
}

/// `GEODIST key member1 member2 [M|KM|FT|MI]`
pub fn geodist(call: &mut Call) -> CommandResult {
    let meters = match call.args.len() {
        4 => 1.0,
        5 => unit(call, 4)?,
        _ => return Err(ErrorReply::SYNTAX),
    };
    let set = read::<SortedSet>(call.keys, call.args.at(1))?;
    match (place_of(set, call.args.at(2)), place_of(set, call.args.at(3))) {
        (Some(from), Some(to)) => write_distance(call.reply, from.distance(to) / meters),
        _ => call.reply.null(),
    }
}

/// `GEOHASH key [member ...]`
pub fn geohash(call: &mut Call) -> CommandResult {
    tell_each(call, |reply, place| match place {
        Some(place) => reply.bulk(&place.geohash()),
        None => reply.null(),
    })
}

/// `GEOPOS key [member ...]`
pub fn geopos(call: &mut Call) -> CommandResult {
    tell_each(call, |reply, place| match place {
        Some(place) => write_place(reply, place),
        None => reply.null_array(),
    })
}

fn tell_each(call: &mut Call, tell: impl Fn(&mut Reply, Option<Place>) -> CommandResult) -> CommandResult {
    let set = read::<SortedSet>(call.keys, call.args.at(1))?;
    let members = call.args.from(2);
    call.reply.array(members.len())?;
    members.iter().try_for_each(|member| tell(call.reply, place_of(set, member)))
}

/// In which order places are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Any,
    Nearest,
    Farthest,
}

/// Where the center of a search comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Center {
    Place(Place),
    /// The argument at this index is a member.
    Member(usize),
}

/// Where a search gets its arguments from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `GEORADIUS` and `GEORADIUSBYMEMBER`: center and radius have their places, and the result may be stored.
    Radius { may_store: bool },
    /// `GEOSEARCH` and `GEOSEARCHSTORE`: everything is an option.
    Search { stores: bool },
}

/// What a search is to find, and how it is told.
#[derive(Debug)]
struct Search {
    /// The argument that is the key searched.
    source: usize,
    center: Option<Center>,
    shape: Option<Shape>,
    /// Meters of the unit in which distances are told.
    unit: f64,
    /// Places at most; 0 for all.
    count: usize,
    /// The first that are found will do.
    any: bool,
    order: Order,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    /// The argument that is the key for the result.
    store: Option<usize>,
    /// The result has distances for scores.
    stores_distance: bool,
}

impl Search {
    fn new(source: usize) -> Self {
        Search {
            source,
            center: None,
            shape: None,
            unit: 1.0,
            count: 0,
            any: false,
            order: Order::Any,
            with_distance: false,
            with_hash: false,
            with_place: false,
            store: None,
            stores_distance: false,
        }
    }

    /// Whether nothing says yet where to look.
    fn has_no_place(&self) -> bool {
        self.center.is_none() && self.shape.is_none()
    }

    fn read_radius(&mut self, call: &Call, index: usize) -> CommandResult {
        let radius = length(call, index, "radius")?;
        if radius < 0.0 {
            return Err(ErrorReply::fixed("ERR radius cannot be negative"));
        }
        self.unit = unit(call, index + 1)?;
        self.shape = Some(Shape::Circle { radius: radius * self.unit });
        Ok(())
    }

    fn read_box(&mut self, call: &Call, index: usize) -> CommandResult {
        let (width, height) = (length(call, index, "width")?, length(call, index + 1, "height")?);
        if width < 0.0 || height < 0.0 {
            return Err(ErrorReply::fixed("ERR height or width cannot be negative"));
        }
        self.unit = unit(call, index + 2)?;
        self.shape = Some(Shape::Box { width: width * self.unit, height: height * self.unit });
        Ok(())
    }

    /// Reads a polygon, of whose vertices the number is the argument at `index`, and returns how many arguments it has.
    fn read_polygon(&mut self, call: &mut Call, index: usize) -> Result<usize, ErrorReply> {
        let in_range = i64::from(i32::MIN)..=i64::from(i32::MAX);
        let count = call.integer_in(index, in_range, ErrorReply::fixed("ERR invalid number of vertices"))?;
        let few = ErrorReply::fixed("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices");
        let end = index + 1 + 2 * usize::try_from(count).unwrap_or(0);
        if end > call.args.len() {
            return Err(few);
        }
        let vertices = (index + 1..end).step_by(2).map(|index| place(call, index)).collect::<Result<Vec<_>, _>>()?;
        let polygon = Polygon::new(vertices).ok_or(few)?;
        self.center = Some(Center::Place(polygon.center()));
        self.shape = Some(Shape::Polygon(polygon));
        Ok(end - index)
    }

    /// Reads the options from `index` on.
    fn read_options(&mut self, call: &mut Call, mut index: usize, form: Form) -> CommandResult {
        let is_search = matches!(form, Form::Search { .. });
        let has_polygon = |search: &Search| matches!(search.shape, Some(Shape::Polygon(_)));
        while index < call.args.len() {
            let left = call.args.len() - index - 1;
            let is = |word| call.is_word(index, word);
            if is("WITHDIST") {
                self.with_distance = true;
            } else if is("WITHHASH") {
                self.with_hash = true;
            } else if is("WITHCOORD") {
                self.with_place = true;
            } else if is("ANY") {
                self.any = true;
            } else if is("ASC") {
                self.order = Order::Nearest;
            } else if is("DESC") {
                self.order = Order::Farthest;
            } else if is("COUNT") && left >= 1 {
                index += 1;
                let count = Some(call.integer(index)?).filter(|count| *count > 0);
                self.count = count.ok_or(ErrorReply::fixed("ERR COUNT must be > 0"))? as usize;
            } else if form == (Form::Radius { may_store: true }) && left >= 1 && (is("STORE") || is("STOREDIST")) {
                self.stores_distance = is("STOREDIST");
                index += 1;
                self.store = Some(index);
            } else if form == (Form::Search { stores: true }) && is("STOREDIST") {
                self.stores_distance = true;
            } else if is_search && left >= 2 && is("BYPOLYGON") && (has_polygon(self) || self.has_no_place()) {
                index += self.read_polygon(call, index + 1)?;
            } else if has_polygon(self) {
                return Err(ErrorReply::SYNTAX);
            } else if is_search && left >= 1 && is("FROMMEMBER") && !matches!(self.center, Some(Center::Place(_))) {
                index += 1;
                self.center = Some(Center::Member(index));
                // An unknown member is an error before whatever is wrong behind it.
                self.center(call)?;
            } else if is_search && left >= 2 && is("FROMLONLAT") && !matches!(self.center, Some(Center::Member(_))) {
                self.center = Some(Center::Place(place(call, index + 1)?));
                index += 2;
            } else if is_search && left >= 2 && is("BYRADIUS") && !matches!(self.shape, Some(Shape::Box { .. })) {
                self.read_radius(call, index + 1)?;
                index += 2;
            } else if is_search && left >= 3 && is("BYBOX") && !matches!(self.shape, Some(Shape::Circle { .. })) {
                self.read_box(call, index + 1)?;
                index += 3;
            } else {
                return Err(ErrorReply::SYNTAX);
            }
            index += 1;
        }
        self.check(call, form)
    }

    fn check(&mut self, call: &Call, form: Form) -> CommandResult {
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let name = match form {
                Form::Search { .. } => "GEOSEARCHSTORE",
                Form::Radius { .. } => "STORE option in GEORADIUS",
            };
            return Err(ErrorReply::new(format!(
                "ERR {name} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let lacks = |what: &str| {
            ErrorReply::about(&format!("ERR exactly one of {what} can be specified for "), call.arg(0), "")
        };
        if matches!(form, Form::Search { .. }) && self.center.is_none() {
            return Err(lacks("FROMMEMBER or FROMLONLAT"));
        }
        if matches!(form, Form::Search { .. }) && self.shape.is_none() {
            return Err(lacks("BYRADIUS, BYBOX and BYPOLYGON"));
        }
        if self.any && self.count == 0 {
            return Err(ErrorReply::fixed("ERR the ANY argument requires COUNT argument"));
        }
        if self.count > 0 && self.order == Order::Any && !self.any {
            self.order = Order::Nearest;
        }
        Ok(())
    }

    /// Where the center is; none if that depends on a key that is not there.
    fn center(&self, call: &mut Call) -> Result<Option<Place>, ErrorReply> {
        match self.center {
            None => Ok(None),
            Some(Center::Place(place)) => Ok(Some(place)),
            Some(Center::Member(index)) => {
                let Some(found) = call.keys.peek(call.args.at(self.source)) else { return Ok(None) };
                let set = call.keys.value(found).as_sorted_set().ok_or(ErrorReply::WRONG_TYPE)?;
                place_of(Some(set), call.args.at(index)).map(Some).ok_or(UNKNOWN_MEMBER)
            }
        }
    }
}

/// A place that was found.
struct Hit {
    member: Vec<u8>,
    score: f64,
    /// In meters.
    distance: f64,
}

/// The places of a region, `limit` at most if that is not 0.
fn hits(set: SortedSetRef<'_>, region: &Region, limit: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (min, max) in region.score_ranges() {
        let min = ScoreBound { score: min, is_exclusive: false };
        let max = ScoreBound { score: max, is_exclusive: true };
        let visited = set.visit(set.score_range(min, max), false, |member: Element<'_>, score| {
            let Some(distance) = region.distance_of(Place::from_score(score)) else { return Ok(()) };
            hits.push(Hit { member: member.as_bytes(&mut IntegerText::default()).to_vec(), score, distance });
            if hits.len() == limit { Err(()) } else { Ok(()) }
        });
        if visited.is_err() {
            break;
        }
    }
    hits
}

/// `GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS radius unit | BYBOX width height unit
/// | BYPOLYGON count longitude latitude … [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]`
pub fn geosearch(call: &mut Call) -> CommandResult {
    check_type(call, 1)?;
    let mut search = Search::new(1);
    search.read_options(call, 2, Form::Search { stores: false })?;
    run(call, &search)
}

/// `GEOSEARCHSTORE destination source … [STOREDIST]`
pub fn geosearchstore(call: &mut Call) -> CommandResult {
    check_type(call, 2)?;
    let mut search = Search::new(2);
    search.store = Some(1);
    search.read_options(call, 3, Form::Search { stores: true })?;
    run(call, &search)
}

/// `GEORADIUS key longitude latitude radius unit … [STORE key | STOREDIST key]`
pub fn georadius(call: &mut Call) -> CommandResult {
    radius(call, true)
}

/// `GEORADIUS_RO key longitude latitude radius unit …`
pub fn georadius_ro(call: &mut Call) -> CommandResult {
    radius(call, false)
}

fn radius(call: &mut Call, may_store: bool) -> CommandResult {
    check_type(call, 1)?;
    let mut search = Search::new(1);
    search.center = Some(Center::Place(place(call, 2)?));
    search.read_radius(call, 4)?;
    search.read_options(call, 6, Form::Radius { may_store })?;
    run(call, &search)
}

/// `GEORADIUSBYMEMBER key member radius unit … [STORE key | STOREDIST key]`
pub fn georadiusbymember(call: &mut Call) -> CommandResult {
    radius_by_member(call, true)
}

/// `GEORADIUSBYMEMBER_RO key member radius unit …`
pub fn georadiusbymember_ro(call: &mut Call) -> CommandResult {
    radius_by_member(call, false)
}

fn radius_by_member(call: &mut Call, may_store: bool) -> CommandResult {
    let is_there = check_type(call, 1)?;
    let mut search = Search::new(1);
    search.center = Some(Center::Member(2));
    // As in Redis, nobody looks at the radius if there is no key.
    if is_there {
        search.center(call)?;
        search.read_radius(call, 3)?;
    }
    search.read_options(call, 5, Form::Radius { may_store })?;
    run(call, &search)
}

/// Whether there is a sorted set at the key that the argument at `index` is; an error if there is something else.
fn check_type(call: &mut Call, index: usize) -> Result<bool, ErrorReply> {
    read::<SortedSet>(call.keys, call.args.at(index)).map(|set| set.is_some())
}

fn run(call: &mut Call, search: &Search) -> CommandResult {
    let region = search.center(call)?.zip(search.shape.clone()).map(|(center, shape)| Region { center, shape });
    let found = call.keys.peek(call.args.at(search.source));
    let set = found.and_then(|found| call.keys.value(found).as_sorted_set());
    let mut hits = match (set, region) {
        (Some(set), Some(region)) => hits(set, &region, if search.any { search.count } else { 0 }),
        _ => Vec::new(),
    };
    match search.order {
        Order::Any => {}
        Order::Nearest => hits.sort_by(|one, other| one.distance.total_cmp(&other.distance)),
        Order::Farthest => hits.sort_by(|one, other| other.distance.total_cmp(&one.distance)),
    }
    if search.count > 0 {
        hits.truncate(search.count);
    }
    match search.store {
        None => list(call.reply, search, &hits),
        Some(index) => store(call, search, call.arg(index), hits),
    }
}

fn list(reply: &mut Reply, search: &Search, hits: &[Hit]) -> CommandResult {
    let details = usize::from(search.with_distance) + usize::from(search.with_hash) + usize::from(search.with_place);
    reply.array(hits.len())?;
    for hit in hits {
        if details > 0 {
            reply.array(1 + details)?;
        }
        reply.bulk(&hit.member)?;
        if search.with_distance {
            write_distance(reply, hit.distance / search.unit)?;
        }
        if search.with_hash {
            reply.integer(hit.score as i64)?;
        }
        if search.with_place {
            write_place(reply, Place::from_score(hit.score))?;
        }
    }
    Ok(())
}

fn store(call: &mut Call, search: &Search, key: &[u8], hits: Vec<Hit>) -> CommandResult {
    let score = |hit: &Hit| if search.stores_distance { hit.distance / search.unit } else { hit.score };
    let mut members: Vec<_> = hits.into_iter().map(|hit| (score(&hit), hit.member)).collect();
    members.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1)));
    let event = if search.source == 2 { Event::GEOSEARCHSTORE } else { Event::GEORADIUSSTORE };
    // Each member counts as a change, as in Redis; one has been counted when they were stored.
    call.keys.count_changes(members.len().saturating_sub(1) as u64);
    zset::store(call, key, &members, event)
}
