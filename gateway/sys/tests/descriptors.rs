//! A thread's own table of open files, in a process in which no other test opens or closes any.

use tickcast_sys::{count_open_files, open_files_limit, raise_open_files_limit, unshare_files};

#[test]
fn files_opened_after_the_split_are_not_in_the_other_table() {
    let before = count_open_files().unwrap();
    let inside = std::thread::spawn(|| {
        // Where the kernel forbids it there is nothing to see.
        if unshare_files().is_err() {
            return None;
        }
        let before = count_open_files().unwrap();
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = count_open_files().unwrap();
        drop(files);
        Some(after - before)
    })
    .join()
    .unwrap();
    if let Some(opened) = inside {
        assert_eq!(opened, 100);
        assert!(count_open_files().unwrap() < before + 100);
    }
}

#[test]
fn the_soft_limit_reaches_the_hard_one() {
    let raised = raise_open_files_limit().unwrap();
    assert_eq!(open_files_limit().unwrap(), raised);
}
