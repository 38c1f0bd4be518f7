//! Places on the earth as scores of a sorted set: 52 bits in which longitude and latitude take turns, so that places near each
//! other mostly have scores near each other, and an area is a few ranges of scores.
//!
//! The grid is that of geohash (<https://en.wikipedia.org/wiki/Geohash>) over the part of the earth that a square Mercator map
//! shows, as in Redis, whose scores these are.

mod polygon;

pub use polygon::Polygon;

/// Bits of a score for each of the two coordinates.
const STEPS_MAX: u32 = 26;
/// The earth's radius in meters.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the earth's width on the map, in meters.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// Coordinates that can be kept, in degrees.
pub const LONGITUDE: Span = Span { min: -180.0, max: 180.0 };
pub const LATITUDE: Span = Span { min: -85.051_128_78, max: 85.051_128_78 };

/// From one coordinate to another, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub min: f64,
    pub max: f64,
}

impl Span {
    fn middle(self) -> f64 {
        (self.min + self.max) / 2.0
    }

    fn contains(self, degrees: f64) -> bool {
        (self.min..=self.max).contains(&degrees)
    }
}

/// A place, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

impl Place {
    /// A place that can be kept; `None` if it is too near to a pole, or nowhere.
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        (LONGITUDE.contains(longitude) && LATITUDE.contains(latitude)).then_some(Place { longitude, latitude })
    }

    /// The score that stands for the place.
    pub fn to_score(self) -> f64 {
        Cell::of(self, STEPS_MAX, LATITUDE).bits as f64
    }

    /// The place that a score stands for: the middle of a cell of some half a meter.
    pub fn from_score(score: f64) -> Self {
        let area = Cell { bits: score as u64, steps: STEPS_MAX }.area();
        Place {
            longitude: area.longitude.middle().clamp(LONGITUDE.min, LONGITUDE.max),
            latitude: area.latitude.middle().clamp(LATITUDE.min, LATITUDE.max),
        }
    }

    /// The distance on a sphere to another place, in meters.
    pub fn distance(self, other: Place) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let v = ((other.longitude.to_radians() - self.longitude.to_radians()) / 2.0).sin();
        if v == 0.0 {
            return EARTH_RADIUS * (to - from).abs();
        }
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// The place as text of eleven letters and digits, of which each says more than those before: a standard geohash,
    /// whose grid reaches from pole to pole.
    pub fn geohash(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::of(self, STEPS_MAX, Span { min: -90.0, max: 90.0 }).bits;
        // The last would need three bits more than there are.
        std::array::from_fn(|index| match index {
            10 => LETTERS[0],
            _ => LETTERS[(bits >> (2 * STEPS_MAX as usize - 5 * (index + 1)) & 31) as usize],
        })
    }
}

/// What is looked for around a place, in meters, or anywhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
    Polygon(Polygon),
}

/// A part of the earth in which places are looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    pub center: Place,
    pub shape: Shape,
}

impl Region {
    /// The distance from the center, in meters, of a place that is in the region.
    pub fn distance_of(&self, place: Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => Some(self.center.distance(place)).filter(|distance| *distance <= radius),
            Shape::Polygon(ref polygon) => polygon.contains(place).then(|| self.center.distance(place)),
            Shape::Box { width, height } => {
                // Going along a latitude is longest at the place's own; along a meridian it is the same everywhere.
                let up = Place { longitude: self.center.longitude, ..place };
                let within_height = EARTH_RADIUS
                    * (place.latitude.to_radians() - self.center.latitude.to_radians()).abs()
                    <= height / 2.0;
                let within_width = within_height && place.distance(up) <= width / 2.0;
                within_width.then(|| self.center.distance(place))
            }
        }
    }

    /// The least and the greatest coordinates of the region.
    fn bounds(&self) -> Area {
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (2.0 * radius, 2.0 * radius),
            Shape::Box { width, height } => (width, height),
            Shape::Polygon(ref polygon) => return polygon.bounds(),
        };
        let Place { longitude, latitude } = self.center;
        let up = (height / 2.0 / EARTH_RADIUS).to_degrees();
        let aside = |latitude: f64| (width / 2.0 / EARTH_RADIUS / latitude.to_radians().cos()).to_degrees();
        let aside = if latitude < 0.0 { aside(latitude - up) } else { aside(latitude + up) };
        Area {
            longitude: Span { min: longitude - aside, max: longitude + aside },
            latitude: Span { min: latitude - up, max: latitude + up },
        }
    }

    /// The scores of all places in the region, and of some around it: ranges from a score to before another, each to be
    /// looked through once, in this order.
    pub fn score_ranges(&self) -> impl Iterator<Item = (f64, f64)> {
        let cells = self.cells();
        let mut previous = None;
        cells.into_iter().flatten().filter_map(move |cell| {
            // Where cells are so large that they meet themselves around the earth.
            let is_new = previous.replace(cell) != Some(cell);
            is_new.then(|| cell.scores())
        })
    }

    /// The cell with the center, and the eight around it as far as the region reaches into them.
    fn cells(&self) -> [Option<Cell>; 9] {
        let bounds = self.bounds();
        let radius = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => (width / 2.0).hypot(height / 2.0),
            Shape::Polygon(ref polygon) => polygon.reach(self.center),
        };
        let mut steps = steps_for(radius, self.center.latitude);
        let mut cell = Cell::of(self.center, steps, LATITUDE);
        let reaches_beyond = |cell: Cell| {
            let beyond = |x, y| cell.neighbor(x, y).area();
            beyond(0, 1).latitude.max < bounds.latitude.max
                || beyond(0, -1).latitude.min > bounds.latitude.min
                || beyond(1, 0).longitude.max < bounds.longitude.max
                || beyond(-1, 0).longitude.min > bounds.longitude.min
        };
        if steps > 1 && reaches_beyond(cell) {
            steps -= 1;
            cell = Cell::of(self.center, steps, LATITUDE);
        }
        let area = cell.area();
        const DIRECTIONS: [(i32, i32); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        DIRECTIONS.map(|(x, y)| {
            let is_out_of_reach = steps >= 2
                && (y < 0 && area.latitude.min < bounds.latitude.min
                    || y > 0 && area.latitude.max > bounds.latitude.max
                    || x < 0 && area.longitude.min < bounds.longitude.min
                    || x > 0 && area.longitude.max > bounds.longitude.max);
            (!is_out_of_reach).then(|| cell.neighbor(x, y))
        })
    }
}

/// How many steps make cells of which nine cover so many meters in all directions.
fn steps_for(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEPS_MAX;
    }
    let mut steps = 1_i32;
    let mut range = radius;
    while range < MERCATOR_MAX {
        range *= 2.0;
        steps += 1;
    }
    // So that the radius is well within the nine; cells are narrower towards the poles.
    steps -= 2;
    let north = latitude.abs();
    steps -= i32::from(north > 66.0) + i32::from(north > 80.0);
    steps.clamp(1, STEPS_MAX as i32) as u32
}

/// A rectangle on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    longitude: Span,
    latitude: Span,
}

/// A cell of the grid that halves the map so many times in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    bits: u64,
    steps: u32,
}

impl Cell {
    fn of(place: Place, steps: u32, latitude: Span) -> Self {
        let part =
            |degrees: f64, span: Span| ((degrees - span.min) / (span.max - span.min) * (1_u64 << steps) as f64) as u32;
        let bits = spread(part(place.latitude, latitude)) | spread(part(place.longitude, LONGITUDE)) << 1;
        Cell { bits, steps }
    }

    fn area(self) -> Area {
        let count = (1_u64 << self.steps) as f64;
        let span = |index: u32, whole: Span| {
            let scale = whole.max - whole.min;
            let edge = |index: f64| whole.min + index / count * scale;
            Span { min: edge(f64::from(index)), max: edge(f64::from(index) + 1.0) }
        };
        Area { longitude: span(gather(self.bits >> 1), LONGITUDE), latitude: span(gather(self.bits), LATITUDE) }
    }

    /// The cell so many to the east and to the north: at the edges of the map it goes on at the other side.
    fn neighbor(self, east: i32, north: i32) -> Self {
        let mask = (1_u32 << self.steps) - 1;
        // At the very edge an index is one too high, and stays so unless it moves, as in Redis.
        let moved = |index: u32, by: i32| match by {
            0 => spread(index),
            by => spread(index.wrapping_add_signed(by) & mask),
        };
        Cell { bits: moved(gather(self.bits), north) | moved(gather(self.bits >> 1), east) << 1, ..self }
    }

    /// Scores from the first to before the last.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS_MAX - self.steps);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// The bits of a number, with a zero before each.
fn spread(value: u32) -> u64 {
    let mut bits = u64::from(value);
    for (shift, mask) in [
        (16, 0x0000_FFFF_0000_FFFF),
        (8, 0x00FF_00FF_00FF_00FF),
        (4, 0x0F0F_0F0F_0F0F_0F0F),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every other bit of a number, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut value = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0F0F_0F0F_0F0F_0F0F),
        (4, 0x00FF_00FF_00FF_00FF),
        (8, 0x0000_FFFF_0000_FFFF),
        (16, 0x0000_0000_FFFF_FFFF),
    ] {
        value = (value | value >> shift) & mask;
    }
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        (LONGITUDE.min..=LONGITUDE.max, LATITUDE.min..=LATITUDE.max)
            .prop_map(|(longitude, latitude)| Place { longitude, latitude })
    }

    fn shape() -> impl Strategy<Value = Shape> {
        let length = || (0.0..7.0_f64).prop_map(|power| 10_f64.powf(power));
        prop_oneof![
            length().prop_map(|radius| Shape::Circle { radius }),
            (length(), length()).prop_map(|(width, height)| Shape::Box { width, height }),
        ]
    }

    #[test]
    fn scores_are_those_of_redis() {
        // `GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania`
        let palermo = Place::new(13.361389, 38.115556).unwrap();
        let catania = Place::new(15.087269, 37.502669).unwrap();
        assert_eq!((palermo.to_score(), catania.to_score()), (3_479_099_956_230_698.0, 3_479_447_370_796_909.0));
        let kept = [palermo, catania].map(|place| Place::from_score(place.to_score()));
        assert_eq!(format!("{:.4}", kept[0].distance(kept[1])), "166274.1516");
        assert_eq!(kept.map(Place::geohash), [*b"sqc8b49rny0", *b"sqdtr74hyu0"]);
        assert_eq!(format!("{:.17}", kept[0].longitude), "13.36138933897018433");
    }

    #[test]
    fn places_off_the_map_are_refused() {
        for (longitude, latitude) in [(180.1, 0.0), (0.0, 85.06), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Place::new(longitude, latitude), None);
        }
    }

    proptest! {
        #[test]
        fn a_score_is_the_place_within_a_meter(place in place()) {
            let kept = Place::from_score(place.to_score());
            prop_assert!(place.distance(kept) < 1.0);
            prop_assert_eq!(kept.to_score(), place.to_score());
        }

        #[test]
        fn bits_come_back(value: u32) {
            prop_assert_eq!(gather(spread(value)), value);
            prop_assert_eq!(spread(value) & spread(value) << 1, 0);
        }

        /// Within the reach of the map: over the poles and across the date line Redis finds less, too.
        #[test]
        fn no_place_near_is_missed(center in place(), east in -1.0..1.0_f64, north in -1.0..1.0_f64, shape in shape()) {
            let region = Region { center, shape };
            let bounds = region.bounds();
            let across = |span: Span, part: f64| span.middle() + part * (span.max - span.min) / 2.0;
            let place = Place::new(across(bounds.longitude, east), across(bounds.latitude, north));
            let is_on_map = |bounds: Area| bounds.longitude.min >= LONGITUDE.min
                && bounds.longitude.max <= LONGITUDE.max
                && bounds.latitude.min >= LATITUDE.min
                && bounds.latitude.max <= LATITUDE.max;
            if let Some(place) = place.filter(|place| is_on_map(bounds) && region.distance_of(*place).is_some()) {
                let score = place.to_score();
                prop_assert!(region.score_ranges().any(|(min, max)| (min..max).contains(&score)));
            }
        }
    }
}
