//! Where callbacks may go (INV-6): nowhere that only this machine, its network or its provider's
//! machinery can reach, unless the operator says so.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A block of addresses: `10.0.0.0/8`, `fd00::/8`; without a length, one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// Text that is no block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a block of addresses is an address and a length, such as 10.0.0.0/8 or fd00::/8")]
pub struct ParseCidrError;

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Cidr, ParseCidrError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ParseCidrError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| ParseCidrError)?,
            None => most,
        };
        if bits > most {
            return Err(ParseCidrError);
        }
        Ok(Cidr { address, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Cidr {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let differing = block.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let differing = block.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Cidr {
    Cidr { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
}

const fn v6(first: u16, second: u16, bits: u8) -> Cidr {
    Cidr { address: IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0)), bits }
}

/// What is not a place of its own on the internet (IANA's special-purpose registries), and one
/// public address at which a provider's machinery answers.
const SPECIAL_V4: [Cidr; 16] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(168, 63, 129, 16, 32),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// All of IPv6 that is global today. Loopback, unspecified, mapped, NAT64, unique local, link-local,
/// site-local and multicast addresses lie outside it.
const GLOBAL_V6: Cidr = v6(0x2000, 0, 3);

/// Within that: protocol assignments and Teredo, documentation, 6to4.
const SPECIAL_V6: [Cidr; 4] =
    [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x2002, 0, 16), v6(0x3fff, 0, 20)];

/// Where callbacks may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackRules {
    /// Blocks that are allowed whatever they are.
    pub allow: Vec<Cidr>,
    /// Whether this machine itself may be called.
    pub loopback: bool,
}

impl CallbackRules {
    /// Whether a request may go to this address.
    pub fn admits(&self, address: IpAddr) -> bool {
        // `::ffff:127.0.0.1` is 127.0.0.1.
        let address = address.to_canonical();
        if self.allow.iter().any(|block| block.contains(address)) {
            return true;
        }
        if self.loopback && address.is_loopback() {
            return true;
        }
        match address {
            IpAddr::V4(_) => !SPECIAL_V4.iter().any(|block| block.contains(address)),
            IpAddr::V6(_) => {
                GLOBAL_V6.contains(address)
                    && !SPECIAL_V6.iter().any(|block| block.contains(address))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(rules: &CallbackRules, address: &str) -> bool {
        rules.admits(address.parse().expect("an address"))
    }

    #[test]
    fn what_is_not_on_the_internet_is_refused() {
        // INV-6
        let rules = CallbackRules::default();
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!admits(&rules, address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "168.63.129.17",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
        ] {
            assert!(admits(&rules, address), "{address}");
        }
    }

    #[test]
    fn operators_may_allow_more() {
        let allow =
            ["10.0.0.0/8", "fd00::/8", "192.168.1.7"].map(|text| text.parse().expect("one"));
        let rules = CallbackRules { allow: allow.to_vec(), loopback: false };
        assert!(admits(&rules, "10.9.9.9") && admits(&rules, "::ffff:10.9.9.9"));
        assert!(admits(&rules, "fd12::1") && admits(&rules, "192.168.1.7"));
        assert!(!admits(&rules, "192.168.1.8") && !admits(&rules, "127.0.0.1"));
        let local = CallbackRules { loopback: true, ..CallbackRules::default() };
        assert!(admits(&local, "127.0.0.1") && admits(&local, "::1"));
        assert!(!admits(&local, "10.0.0.1") && !admits(&local, "0.0.0.0"));
        let all: Cidr = "0.0.0.0/0".parse().expect("all");
        assert!(all.contains("8.8.8.8".parse().expect("one")) && all.to_string() == "0.0.0.0/0");
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "x/1", "1.1.1.1/-1", "1.1.1.1/"] {
            assert_eq!(wrong.parse::<Cidr>(), Err(ParseCidrError), "{wrong}");
        }
    }
}
