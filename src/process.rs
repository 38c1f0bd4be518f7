//! What the operating system says of the process and of the machine.

use std::ffi::CString;
use std::io;
use std::time::Duration;

/// The number of the calling thread, as the system has it; 0 if it does not tell.
pub fn thread_id() -> u64 {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    link.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// CPU time that was used, in the kernel and outside of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    pub system: Duration,
    pub user: Duration,
}

/// CPU time of all threads.
pub fn cpu_time() -> CpuTime {
    usage(libc::RUSAGE_SELF)
}

/// CPU time of the child processes that have ended.
pub fn children_cpu_time() -> CpuTime {
    usage(libc::RUSAGE_CHILDREN)
}

/// CPU time of the calling thread.
pub fn thread_cpu_time() -> CpuTime {
    usage(libc::RUSAGE_THREAD)
}

fn usage(who: libc::c_int) -> CpuTime {
    // SAFETY: the struct is plain data, for which zeros are valid, and outlives the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(who, &raw mut usage) != 0 {
            return CpuTime::default();
        }
        usage
    };
    let duration = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    CpuTime { system: duration(usage.ru_stime), user: duration(usage.ru_utime) }
}

/// CPU time of the first thread, in steps of a hundredth of a second.
pub fn main_thread_cpu_time() -> CpuTime {
    const TICK: Duration = Duration::from_millis(10);
    let id = std::process::id();
    let Ok(stat) = std::fs::read_to_string(format!("/proc/self/task/{id}/stat")) else { return CpuTime::default() };
    // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(|field| field.parse().unwrap_or(0u32));
    let (user, system) = (ticks.next().unwrap_or(0), ticks.next().unwrap_or(0));
    CpuTime { system: TICK * system, user: TICK * user }
}

/// The number of the group of users with that name.
pub fn group_id(name: &[u8]) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: the name ends with a zero byte, and the entry is read before anything else can look up a group: this is
    // called while the process has one thread.
    let id = unsafe { libc::getgrnam(name.as_ptr()).as_ref().map(|group| group.gr_gid) };
    id.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no group {}", name.to_string_lossy())))
}

/// Bytes of memory that the machine has.
pub fn system_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Name and release of the kernel, and the machine's architecture: `Linux 6.1.0 x86_64`.
pub fn kernel() -> String {
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim_end().to_owned()
    };
    format!("{} {} {}", read("ostype"), read("osrelease"), std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_answers() {
        assert!(system_memory() > 1 << 20);
        assert!(kernel().starts_with("Linux "));
        assert_eq!(group_id(b"root").unwrap(), 0);
        assert!(group_id(b"no such group").is_err() && group_id(b"a\0b").is_err());
        assert!(main_thread_cpu_time().user <= cpu_time().user + Duration::from_millis(20));
    }
}
