//! What VMs share: data with compare-and-swap, and queues, both keyed by `vm_id` and
//! kept for as long as there is a VM of that.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::abi::{HostResult, Status};
use crate::proxy::{QueueListener, RootId, VmId};

/// By key: the value and its compare-and-swap number.
type Data = HashMap<Vec<u8>, (Vec<u8>, u32)>;

#[derive(Default)]
struct Shared {
    /// VMs by their `vm_id`.
    users: HashMap<String, usize>,
    data: HashMap<String, Data>,
    last_cas: u32,
    tokens: HashMap<(Vec<u8>, Vec<u8>), u32>,
    queues: HashMap<u32, Queue>,
    last_token: u32,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Vec<u8>>,
    /// Those that registered, the last one last.
    listeners: Vec<(RootId, Arc<dyn QueueListener>)>,
}

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

fn shared() -> MutexGuard<'static, Shared> {
    // Each change is complete before anything could panic.
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A VM's part in what those of its `vm_id` share, which goes with the last of them.
pub(crate) struct Share {
    vm_id: String,
    vm: VmId,
}

impl Share {
    pub(crate) fn new(vm_id: &str, vm: VmId) -> Self {
        let vm_id = vm_id.to_owned();
        *shared().users.entry(vm_id.clone()).or_default() += 1;
        Self { vm_id, vm }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut guard = shared();
        let shared = &mut *guard;
        if let Some(users) = shared.users.get_mut(&self.vm_id) {
            *users -= 1;
            if *users > 0 {
                let mut gone = Vec::new();
                for queue in shared.queues.values_mut() {
                    gone.extend(queue.listeners.extract_if(.., |it| it.0.vm == self.vm));
                }
                // Listeners are dropped without the lock.
                drop(guard);
                return;
            }
        }
        shared.users.remove(&self.vm_id);
        let data = shared.data.remove(&self.vm_id);
        let of_this = |key: &(Vec<u8>, Vec<u8>)| key.0 == self.vm_id.as_bytes();
        let tokens = shared.tokens.extract_if(|key, _| of_this(key));
        let tokens: Vec<_> = tokens.map(|it| it.1).collect();
        let queues: Vec<_> = tokens.iter().map(|it| shared.queues.remove(it)).collect();
        // Listeners are dropped without the lock.
        drop(guard);
        drop((data, queues));
    }
}

/// The value of `key` and its compare-and-swap number.
pub(crate) fn get(vm_id: &str, key: &[u8]) -> HostResult<(Vec<u8>, u32)> {
    let shared = shared();
    let value = shared.data.get(vm_id).and_then(|data| data.get(key));
    value.cloned().ok_or(Status::NotFound)
}

/// Sets the value of `key`, if its number is still `cas`, or `cas` is 0.
pub(crate) fn set(vm_id: &str, key: &[u8], value: &[u8], cas: u32) -> HostResult {
    let shared = &mut *shared();
    let next = shared.last_cas.checked_add(1).unwrap_or(1);
    if !shared.data.contains_key(vm_id) {
        shared.data.insert(vm_id.to_owned(), HashMap::new());
    }
    let data = shared.data.get_mut(vm_id).ok_or(Status::InternalFailure)?;
    if let Some(old) = data.get_mut(key) {
        if cas != 0 && cas != old.1 {
            return Err(Status::CasMismatch);
        }
        *old = (value.to_vec(), next);
    } else {
        data.insert(key.to_vec(), (value.to_vec(), next));
    }
    shared.last_cas = next;
    Ok(())
}

/// Makes the queue if it is not there, and has the listener hear of new items.
pub(crate) fn register_queue(
    vm_id: &str,
    name: &[u8],
    root: RootId,
    listener: Arc<dyn QueueListener>,
) -> u32 {
    let shared = &mut *shared();
    let key = (vm_id.as_bytes().to_vec(), name.to_vec());
    let token = *shared.tokens.entry(key).or_insert_with(|| {
        shared.last_token += 1;
        shared.last_token
    });
    let queue = shared.queues.entry(token).or_default();
    queue.listeners.retain(|it| it.0 != root);
    queue.listeners.push((root, listener));
    token
}

pub(crate) fn resolve_queue(vm_id: &[u8], name: &[u8]) -> HostResult<u32> {
    let key = (vm_id.to_vec(), name.to_vec());
    shared().tokens.get(&key).copied().ok_or(Status::NotFound)
}

/// Appends an item, of which one listener hears: the last one, or if its thread cannot be had,
/// the last one whose can.
pub(crate) fn enqueue(token: u32, item: &[u8]) -> HostResult {
    let mut listeners = {
        let shared = &mut *shared();
        let queue = shared.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.push_back(item.to_vec());
        let listeners = queue.listeners.iter().rev();
        listeners.map(|it| it.1.clone()).collect::<Vec<_>>()
    };
    let reachable = listeners.iter().position(|it| it.is_reachable());
    if !listeners.is_empty() {
        listeners
            .swap_remove(reachable.unwrap_or(0))
            .item_ready(token);
    }
    Ok(())
}

pub(crate) fn dequeue(token: u32) -> HostResult<Vec<u8>> {
    let shared = &mut *shared();
    let queue = shared.queues.get_mut(&token).ok_or(Status::NotFound)?;
    queue.items.pop_front().ok_or(Status::Empty)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    #[test]
    fn data_changes_by_compare_and_swap() {
        assert_eq!(get("data", b"key"), Err(Status::NotFound));
        set("data", b"key", b"one", 7).expect("the number of a new key does not matter");
        let (value, first) = get("data", b"key").expect("it was set");
        assert_eq!(value, b"one");
        assert_ne!(first, 0);
        set("data", b"key", b"two", 0).expect("0 always sets");
        assert_eq!(
            set("data", b"key", b"three", first),
            Err(Status::CasMismatch)
        );
        let (value, second) = get("data", b"key").expect("it was set");
        assert_eq!(value, b"two");
        set("data", b"key", b"three", second).expect("the number is right");
        assert_eq!(get("another vm_id", b"key"), Err(Status::NotFound));
    }

    #[derive(Default)]
    struct Listener {
        heard: AtomicU32,
        is_away: AtomicBool,
    }

    impl QueueListener for Listener {
        fn is_reachable(&self) -> bool {
            !self.is_away.load(Ordering::Relaxed)
        }

        fn item_ready(&self, token: u32) {
            self.heard.fetch_add(token, Ordering::Relaxed);
        }
    }

    fn register(vm_id: &str, name: &[u8], vm: u64) -> (u32, Arc<Listener>) {
        let listener = Arc::new(Listener::default());
        let root = RootId {
            vm: VmId(vm),
            context: 1,
        };
        let token = register_queue(vm_id, name, root, listener.clone());
        (token, listener)
    }

    #[test]
    fn the_last_vm_takes_them_along() {
        let (one, two) = (Share::new("share", VmId(1)), Share::new("share", VmId(2)));
        let another = Share::new("another share", VmId(3));
        for vm_id in ["share", "another share"] {
            set(vm_id, b"key", b"value", 0).expect("it is new");
        }
        let (token, first) = register("share", b"q", 1);
        register("share", b"q", 2);
        let (kept, _) = register("another share", b"q", 3);
        drop(two);
        assert!(get("share", b"key").is_ok());
        assert_eq!(resolve_queue(b"share", b"q"), Ok(token));
        // The one that is gone hears nothing.
        enqueue(token, b"").expect("it is there");
        assert_eq!(first.heard.load(Ordering::Relaxed), token);
        drop(one);
        assert_eq!(get("share", b"key"), Err(Status::NotFound));
        assert_eq!(resolve_queue(b"share", b"q"), Err(Status::NotFound));
        assert_eq!(enqueue(token, b""), Err(Status::NotFound));
        assert!(get("another share", b"key").is_ok());
        assert_eq!(resolve_queue(b"another share", b"q"), Ok(kept));
        drop(another);
        assert_eq!(enqueue(kept, b""), Err(Status::NotFound));
    }

    #[test]
    fn queues_are_first_in_first_out() {
        assert_eq!(resolve_queue(b"queue", b"q"), Err(Status::NotFound));
        let (token, listener) = register("queue", b"q", 10);
        assert_ne!(register("queue", b"other", 10).0, token);
        assert_eq!(resolve_queue(b"queue", b"q"), Ok(token));
        assert_eq!(dequeue(token), Err(Status::Empty));
        enqueue(token, b"1").expect("it is there");
        enqueue(token, b"2").expect("it is there");
        assert_eq!(listener.heard.load(Ordering::Relaxed), 2 * token);
        assert_eq!(dequeue(token), Ok(b"1".to_vec()));
        assert_eq!(dequeue(token), Ok(b"2".to_vec()));
        assert_eq!(dequeue(u32::MAX), Err(Status::NotFound));
        assert_eq!(enqueue(u32::MAX, b""), Err(Status::NotFound));
    }

    #[test]
    fn one_hears_of_an_item_the_last_that_can() {
        let (token, first) = register("listeners", b"q", 20);
        let (_, second) = register("listeners", b"q", 21);
        let heard = || [&first, &second].map(|it| it.heard.swap(0, Ordering::Relaxed) / token);
        let put = || enqueue(token, b"").expect("it is there");
        put();
        assert_eq!(heard(), [0, 1]);
        second.is_away.store(true, Ordering::Relaxed);
        put();
        assert_eq!(heard(), [1, 0]);
        first.is_away.store(true, Ordering::Relaxed);
        put();
        assert_eq!(heard(), [0, 1], "later");
    }
}
