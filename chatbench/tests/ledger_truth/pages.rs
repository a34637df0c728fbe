//! Histories whose pages tile, and such that do not.

use crate::bench::bench;
use crate::double::Fault;

const LINE: &str = "history --clients 2 --messages 55 --page 10 --rate 20/s --duration 300ms";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faultless_history_passes_in_both_directions() {
    let ran = bench(&format!("{LINE} --threshold page_time:p(99)<1h --threshold holes==0"), &[]).await;
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.history("walks_backward") > 0 && ran.history("walks_forward") > 0, "{}", ran.out);
    assert!(ran.history("written") >= 55);
    assert_eq!((ran.history("holes"), ran.history("repeats"), ran.history("corrupted")), (0, 0, 0));
    assert_eq!(ran.json["times"]["page_time"]["count"], ran.history("pages"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_and_a_repeat_are_97_and_found_on_every_way() {
    let ran = bench(LINE, &[Fault::PageHole { offset: 33 }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert_eq!(ran.history("holes"), ran.history("walks_backward") + ran.history("walks_forward"));
    assert_eq!(ran.history("repeats"), 0);

    // Forward pages begin behind multiples of ten; each repeat is one of a number and one of a message.
    let line = LINE.replace("--clients 2", "--clients 1").replace("20/s", "0.001/s");
    let ran = bench(&line, &[Fault::PageRepeat { offset: 20 }]).await;
    assert_eq!(ran.code, 97, "{}", ran.out);
    assert!(ran.history("repeats") >= 2, "{}", ran.out);
    assert_eq!(ran.history("holes"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_ends_are_holes() {
    for offset in [1, 55] {
        let ran = bench(&LINE.replace("20/s", "0.001/s"), &[Fault::PageHole { offset }]).await;
        assert_eq!(ran.code, 97, "{offset}: {}", ran.out);
        assert!(ran.history("holes") > 0, "{offset}: {}", ran.out);
    }
}
