//! Values of address ranges, found by the longest matching prefix.

/// A tree with a node for each octet that decides: a search reads one entry for each octet, and
/// ends at the first one behind which all addresses have the same value.
///
/// Packets may need two searches each, with addresses that senders choose. A search is a few
/// instructions for nearly all addresses, and never more than one step for each octet.
#[derive(Debug)]
pub(super) struct PrefixTree<V> {
    /// The first node is the root. Each node has an entry for each value of its octet.
    nodes: Vec<[Entry<V>; 256]>,
}

#[derive(Debug, Clone, Copy)]
enum Entry<V> {
    /// The value of all addresses that begin with the octets so far.
    Value(V),
    /// The index of the node for the next octet.
    Node(usize),
}

impl<V: Copy> PrefixTree<V> {
    /// Creates a tree in which all addresses have the same value.
    pub(super) fn new(value: V) -> Self {
        Self {
            nodes: vec![[Entry::Value(value); 256]],
        }
    }

    /// Sets the value of all addresses whose first `length` bits are those of `network`. Replaces
    /// the values of longer prefixes in this range, so insert the shortest prefixes first.
    pub(super) fn insert(&mut self, network: &[u8], length: u8, value: V) {
        let length = usize::from(length);
        // At least one octet is left for the range of entries, even if all of its bits count.
        let whole_octets = length.saturating_sub(1) / 8;
        let mut node = 0;
        for &octet in &network[..whole_octets] {
            node = self.next_node(node, octet);
        }
        let first = usize::from(network[whole_octets]);
        let free_bits = 8 * (whole_octets + 1) - length;
        self.nodes[node][first..first + (1 << free_bits)].fill(Entry::Value(value));
    }

    /// Returns the value of an address, given as its octets.
    #[inline]
    pub(super) fn get(&self, octets: &[u8]) -> V {
        let mut node = 0;
        for &octet in octets {
            match self.nodes[node][usize::from(octet)] {
                Entry::Value(value) => return value,
                Entry::Node(next) => node = next,
            }
        }
        unreachable!("the entries of the last octet are values")
    }

    /// Returns the node for the octet after this one, and creates it if there is none.
    fn next_node(&mut self, node: usize, octet: u8) -> usize {
        let new = self.nodes.len();
        let entry = &mut self.nodes[node][usize::from(octet)];
        match *entry {
            Entry::Node(next) => next,
            Entry::Value(value) => {
                *entry = Entry::Node(new);
                self.nodes.push([Entry::Value(value); 256]);
                new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ranges: &[([u8; 4], u8)], address: [u8; 4], expected: usize) {
        let mut tree = PrefixTree::new(0);
        for (number, (network, length)) in ranges.iter().enumerate() {
            tree.insert(network, *length, number + 1);
        }
        assert_eq!(tree.get(&address), expected, "{address:?}");
    }

    #[test]
    fn the_longest_prefix_decides() {
        let ranges = [
            ([64, 0, 0, 0], 2),
            ([65, 0, 0, 0], 8),
            ([65, 128, 0, 0], 9),
            ([65, 128, 7, 0], 24),
            ([65, 128, 7, 7], 32),
        ];
        check(&ranges, [63, 255, 255, 255], 0);
        check(&ranges, [64, 0, 0, 0], 1);
        check(&ranges, [65, 127, 255, 255], 2);
        check(&ranges, [65, 128, 6, 255], 3);
        check(&ranges, [65, 128, 7, 6], 4);
        check(&ranges, [65, 128, 7, 7], 5);
        check(&ranges, [65, 128, 7, 8], 4);
        check(&ranges, [65, 128, 8, 0], 3);
        check(&ranges, [66, 0, 0, 0], 1);
        check(&ranges, [127, 255, 255, 255], 1);
        check(&ranges, [128, 0, 0, 0], 0);
    }

    #[test]
    fn a_prefix_of_no_bits_has_all_addresses() {
        check(&[([0; 4], 0)], [0; 4], 1);
        check(&[([0; 4], 0)], [255; 4], 1);
        check(&[([0; 4], 0), ([255; 4], 32)], [255; 4], 2);
    }

    #[test]
    fn the_last_of_two_equal_ranges_decides() {
        check(&[([10, 0, 0, 0], 8), ([10, 0, 0, 0], 8)], [10, 1, 2, 3], 2);
    }
}
