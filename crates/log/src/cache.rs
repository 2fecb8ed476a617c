//! A bounded cache in two generations: what is used moves to the young one, and when that holds
//! half of the budget, the old one is dropped. One lock, no lists, no per-entry bookkeeping.

use std::{collections::HashMap, hash::Hash, mem};

use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    budget: usize,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_weight: usize,
}

impl<K: Hash + Eq + Copy, V: Clone> Cache<K, V> {
    pub(crate) fn new(budget: usize) -> Cache<K, V> {
        let generations =
            Generations { young: HashMap::new(), old: HashMap::new(), young_weight: 0 };
        Cache { budget, generations: Mutex::new(generations) }
    }

    pub(crate) fn get(&self, key: K) -> Option<V> {
        let mut generations = self.generations.lock();
        if let Some((value, _)) = generations.young.get(&key) {
            return Some(value.clone());
        }
        let (value, weight) = generations.old.remove(&key)?;
        generations.insert(key, value.clone(), weight, self.budget);
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V, weight: usize) {
        self.generations.lock().insert(key, value, weight, self.budget);
    }

    pub(crate) fn remove(&self, key: K) {
        let mut generations = self.generations.lock();
        if let Some((_, weight)) = generations.young.remove(&key) {
            generations.young_weight -= weight;
        }
        generations.old.remove(&key);
    }
}

impl<K: Hash + Eq + Copy, V> Generations<K, V> {
    fn insert(&mut self, key: K, value: V, weight: usize, budget: usize) {
        if self.young_weight + weight > budget / 2 {
            self.old = mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += weight;
        if let Some((_, weight)) = self.young.insert(key, (value, weight)) {
            self.young_weight -= weight;
        }
    }
}
