//! What VMs share: data with compare-and-swap, and queues, both keyed by `vm_id` and
//! kept for as long as there is a VM of that.

use std::collections::{HashMap, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::abi::{HostResult, Status};
use super::proxy::Wake;

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

struct Queue {
    items: VecDeque<Vec<u8>>,
    /// Tells the VM that registered last.
    wake: Wake,
}

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

fn shared() -> MutexGuard<'static, Shared> {
    // Each change is complete before anything could panic.
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A VM's part in what those of its `vm_id` share, which goes with the last of them.
pub(super) struct Share {
    vm_id: String,
}

impl Share {
    pub(super) fn new(vm_id: &str) -> Self {
        let vm_id = vm_id.to_owned();
        *shared().users.entry(vm_id.clone()).or_default() += 1;
        Self { vm_id }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut guard = shared();
        let shared = &mut *guard;
        if let Some(users) = shared.users.get_mut(&self.vm_id) {
            *users -= 1;
            if *users > 0 {
                return;
            }
        }
        shared.users.remove(&self.vm_id);
        let data = shared.data.remove(&self.vm_id);
        let of_this = |key: &(Vec<u8>, Vec<u8>)| key.0 == self.vm_id.as_bytes();
        let tokens = shared.tokens.extract_if(|key, _| of_this(key));
        let tokens: Vec<_> = tokens.map(|it| it.1).collect();
        let queues: Vec<_> = tokens.iter().map(|it| shared.queues.remove(it)).collect();
        // What queues would wake is dropped without the lock.
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

/// Makes the queue if it is not there, and has `wake(token)` called for new items: always, or
/// if it is the first.
pub(crate) fn register_queue(vm_id: &str, name: &[u8], wake: Wake, always: bool) -> u32 {
    let shared = &mut *shared();
    let key = (vm_id.as_bytes().to_vec(), name.to_vec());
    let token = *shared.tokens.entry(key).or_insert_with(|| {
        shared.last_token += 1;
        shared.last_token
    });
    match shared.queues.get_mut(&token) {
        Some(queue) if always => queue.wake = wake,
        Some(_) => {}
        None => {
            let items = VecDeque::new();
            shared.queues.insert(token, Queue { items, wake });
        }
    }
    token
}

pub(crate) fn resolve_queue(vm_id: &[u8], name: &[u8]) -> HostResult<u32> {
    let key = (vm_id.to_vec(), name.to_vec());
    shared().tokens.get(&key).copied().ok_or(Status::NotFound)
}

pub(crate) fn enqueue(token: u32, item: &[u8]) -> HostResult {
    let wake = {
        let shared = &mut *shared();
        let queue = shared.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.push_back(item.to_vec());
        queue.wake.clone()
    };
    wake(token);
    Ok(())
}

pub(crate) fn dequeue(token: u32) -> HostResult<Vec<u8>> {
    let shared = &mut *shared();
    let queue = shared.queues.get_mut(&token).ok_or(Status::NotFound)?;
    queue.items.pop_front().ok_or(Status::Empty)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

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

    #[test]
    fn the_last_vm_takes_them_along() {
        let (one, two) = (Share::new("share"), Share::new("share"));
        let another = Share::new("another share");
        for vm_id in ["share", "another share"] {
            set(vm_id, b"key", b"value", 0).expect("it is new");
        }
        let token = register_queue("share", b"q", Arc::new(|_| ()), true);
        let kept = register_queue("another share", b"q", Arc::new(|_| ()), true);
        drop(one);
        assert!(get("share", b"key").is_ok());
        assert_eq!(resolve_queue(b"share", b"q"), Ok(token));
        drop(two);
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
        let woken = Arc::new(AtomicU32::new(0));
        let wake = || -> Wake {
            let woken = woken.clone();
            Arc::new(move |token| woken.store(token, Ordering::Relaxed))
        };
        let no_wake = || -> Wake { Arc::new(|_| ()) };
        assert_eq!(resolve_queue(b"queue", b"q"), Err(Status::NotFound));
        let token = register_queue("queue", b"q", no_wake(), false);
        assert_eq!(register_queue("queue", b"q", wake(), true), token);
        assert_eq!(register_queue("queue", b"q", no_wake(), false), token);
        assert_ne!(register_queue("queue", b"other", wake(), true), token);
        assert_eq!(resolve_queue(b"queue", b"q"), Ok(token));
        assert_eq!(dequeue(token), Err(Status::Empty));
        enqueue(token, b"1").expect("it is there");
        enqueue(token, b"2").expect("it is there");
        assert_eq!(woken.load(Ordering::Relaxed), token);
        assert_eq!(dequeue(token), Ok(b"1".to_vec()));
        assert_eq!(dequeue(token), Ok(b"2".to_vec()));
        assert_eq!(dequeue(u32::MAX), Err(Status::NotFound));
        assert_eq!(enqueue(u32::MAX, b""), Err(Status::NotFound));
    }
}
