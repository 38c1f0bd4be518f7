//! Polygons on the map, whose edges are straight lines of longitude over latitude, as in Valkey.

use super::{Area, Place, Span};
use std::f64::consts::PI;

/// A part of the map between straight edges.
#[derive(Debug, Clone, PartialEq)]
pub struct Polygon {
    vertices: Box<[Place]>,
}

impl Polygon {
    /// A polygon of at least three vertices; `None` if there are fewer. Edges may cross: what is between them then is in it
    /// or not by turns.
    pub fn new(vertices: Vec<Place>) -> Option<Self> {
        (vertices.len() >= 3).then(|| Polygon { vertices: vertices.into() })
    }

    /// Whether the way east from a place crosses an odd number of edges.
    pub fn contains(&self, place: Place) -> bool {
        let ends = self.vertices.iter().zip(self.vertices.iter().cycle().skip(self.vertices.len() - 1));
        let crossed = ends.filter(|(to, from)| {
            let is_passed = (to.latitude > place.latitude) != (from.latitude > place.latitude);
            is_passed && {
                let part = (place.latitude - to.latitude) / (from.latitude - to.latitude);
                place.longitude < (from.longitude - to.longitude) * part + to.longitude
            }
        });
        crossed.count() % 2 == 1
    }

    /// The place below the middle of the vertices, which is inside of the earth.
    pub fn center(&self) -> Place {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for vertex in &self.vertices {
            let (longitude, latitude) = (vertex.longitude.to_radians(), vertex.latitude.to_radians());
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        // To the last bit as Valkey computes it, since distances are measured from there.
        let degrees = |radians: f64| radians / (PI / 180.0);
        Place { longitude: degrees(f64::atan2(y, x)), latitude: degrees(f64::atan2(z, (x * x + y * y).sqrt())) }
    }

    /// The least and the greatest coordinates.
    pub(super) fn bounds(&self) -> Area {
        let span = |coordinate: fn(&Place) -> f64| {
            let coordinates = || self.vertices.iter().map(coordinate);
            Span {
                min: coordinates().fold(f64::INFINITY, f64::min),
                max: coordinates().fold(f64::NEG_INFINITY, f64::max),
            }
        };
        Area { longitude: span(|vertex| vertex.longitude), latitude: span(|vertex| vertex.latitude) }
    }

    /// How far the farthest corner of the bounds is from `center`, in meters.
    pub(super) fn reach(&self, center: Place) -> f64 {
        let Area { longitude, latitude } = self.bounds();
        let corners = [longitude.min, longitude.max]
            .into_iter()
            .flat_map(|longitude| [latitude.min, latitude.max].map(|latitude| Place { longitude, latitude }));
        corners.map(|corner| center.distance(corner)).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::geo::{LATITUDE, LONGITUDE, Region, Shape};
    use proptest::prelude::*;

    fn polygon(vertices: &[(f64, f64)]) -> Polygon {
        let places = vertices.iter().map(|(longitude, latitude)| Place { longitude: *longitude, latitude: *latitude });
        Polygon::new(places.collect()).expect("it has vertices enough")
    }

    fn contains(polygon: &Polygon, longitude: f64, latitude: f64) -> bool {
        polygon.contains(Place { longitude, latitude })
    }

    #[test]
    fn a_notch_is_outside() {
        let notched = polygon(&[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 1.0), (0.0, 4.0)]);
        for (longitude, latitude, is_inside) in [
            (1.0, 1.0, true),
            (3.0, 1.0, true),
            (2.0, 0.5, true),
            (2.0, 2.0, false),
            (5.0, 1.0, false),
            (-1.0, 0.0, false),
        ] {
            assert_eq!(contains(&notched, longitude, latitude), is_inside, "{longitude} {latitude}");
        }
        assert_eq!(Polygon::new(vec![Place { longitude: 0.0, latitude: 0.0 }; 2]), None);
    }

    #[test]
    fn the_center_is_that_of_valkey() {
        let center = polygon(&[(-3.0, -3.0), (3.0, -3.0), (3.0, 3.0)]).center();
        assert_eq!(format!("{:.4} {:.4}", center.longitude, center.latitude), "1.0008 -1.0020");
    }

    proptest! {
        #[test]
        fn no_place_inside_is_missed(
            vertices in prop::collection::vec((LONGITUDE.min..=LONGITUDE.max, LATITUDE.min..=LATITUDE.max), 3..8),
            scale in 0.001..0.2_f64,
            weights in prop::collection::vec(0.0..1.0_f64, 8),
        ) {
            // A convex mix of the vertices is likely to be inside.
            let vertices: Vec<(f64, f64)> = vertices.iter().map(|(x, y)| (x * scale, y * scale)).collect();
            let sum: f64 = weights.iter().zip(&vertices).map(|(weight, _)| weight).sum();
            let mix = |coordinate: fn(&(f64, f64)) -> f64| {
                weights.iter().zip(&vertices).map(|(weight, vertex)| weight * coordinate(vertex)).sum::<f64>() / sum
            };
            let place = Place { longitude: mix(|vertex| vertex.0), latitude: mix(|vertex| vertex.1) };
            let polygon = polygon(&vertices);
            let region = Region { center: polygon.center(), shape: Shape::Polygon(polygon) };
            if sum > 0.0 && region.distance_of(place).is_some() {
                let score = place.to_score();
                prop_assert!(region.score_ranges().any(|(min, max)| (min..max).contains(&score)));
            }
        }
    }
}
