//! What is promised to the people outside, one test a sentence.

mod money_promises;
mod promises;
mod promises_delivery;
mod promises_of_the_node;
mod rolling_restarts;
