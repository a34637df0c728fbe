//! What stands below the options in `--help`: examples, what thresholds can name, exit codes.

use chatbench_result::measure;

const EXAMPLES: &str = "\
Examples:
  chatbench connect --clients 5000
  chatbench idle --clients 10000 --duration 60s --pid $(pidof chatd)
  chatbench broadcast --clients 1000 --rate 50/s --duration 10s --threshold 'e2e_time:p(99)<50ms'
  chatbench broadcast --clients 1000 --via http --closed --out result.json --out report.html
  chatbench unicast --clients 2000 --rate 5000/s
  chatbench unicast --clients 200 --via grpc --grpc-server 127.0.0.1:50051 --grpc-connections 2
  chatbench group --groups 20 --members 50 --rate 200/s
  chatbench broadcast --server http://a:8080,http://b:8080 --chaos jitter --threshold 'recovery_time:p(99)<1s'
  chatbench group --chaos avalanche:5,2 --threshold gaps==0
  chatbench broadcast --clients 1000 --chaos slow-reader=10%
  chatbench broadcast --clients 5000 --stages 0..200@30s,200@2m --arrival poisson --workers 2
  chatbench broadcast --clients 500 --rate 20/s --floor
  chatbench churn --clients 2000 --churn-rate 100/s --away 2s --rate 20/s
  chatbench mixed --clients 1000 --members 20 --rate 500/s --workers 2
  chatbench idle --clients 5000 --duration 60s --chaos avalanche --threshold 'reconnect_time:p(99)<2s'
  chatbench soak --clients 500 --rate 20/s --duration 8h --redis redis://127.0.0.1:6379 --out soak.json
  chatbench history --clients 8 --messages 5000
  chatbench redpacket --clients 1000 --packets 1 --count 100 --threshold 'grab_won_time:p(99)<200ms'
  chatbench redpacket --server http://a:8080,http://b:8080 --clients 500 --reconnect-during
  chatbench redpacket --clients 200 --packets 500 --rate 2000/s --duration 30s
  chatbench broadcast --runs 8 --baseline main.json --save-baseline
  chatbench broadcast --runs 8 --baseline main.json --fail-on-regression=10%";

const EXITS: &str = "\
Exit codes: 0 pass, 1 could not run, 2 usage, 96 run invalid (generator saturated, rate not reached, clients that did
not get in), 97 an invariant broke, 98 regressed, 99 a threshold failed, 130 interrupted";

/// All of it.
pub fn text() -> String {
    format!("{EXAMPLES}\n\n{}\n\n{EXITS}", measure::help())
}
