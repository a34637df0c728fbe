//! A relay that knows nothing: it takes messages and writes their bytes to the sockets they are for.
//!
//! Invariant: all that a turn has for a client is one write; nothing is kept once it is written, and who cannot be given
//! everything is let go.

use std::io::Write as _;
use std::sync::Arc;

use mio::{Poll, Waker};
use tokio::net::TcpListener;

use crate::scenario::floor::hall::Hall;
use crate::scenario::floor::owner::{MAIL, Owner};

/// Listens on a free port of loopback, prints it, and relays until standard input ends.
pub async fn run() -> u8 {
    match serve().await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("chatbench relay: {error}");
            1
        }
    }
}

async fn serve() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    rlimit::increase_nofile_limit(u64::MAX)?;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let polls = (0..cores).map(|_| Poll::new()).collect::<Result<Vec<_>, _>>()?;
    let wakers = polls.iter().map(|poll| Waker::new(poll.registry(), MAIL)).collect::<Result<_, _>>()?;
    let hall = Arc::new(Hall::new(wakers));
    for (number, poll) in polls.into_iter().enumerate() {
        let owner = Owner::new(number, poll, hall.clone());
        // Without one of them messages would be lost.
        std::thread::spawn(move || {
            eprintln!("chatbench relay: {:?}", owner.run());
            std::process::exit(1);
        });
    }
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    std::thread::spawn(|| {
        // Whoever started it holds the other end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    for number in 0.. {
        if let Ok((tcp, _)) = listener.accept().await {
            hall.arrive(number, tcp.into_std()?);
        }
    }
    Ok(())
}
