//! What each shell needs to complete lines of chatctl, and where it looks for that.
//!
//! Invariant: a script knows nothing of commands and flags: it asks `chatctl complete`, so that it fits every version.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::surroundings::Environment;

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash 4 or later.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
    /// Nushell.
    Nushell,
}

impl Shell {
    /// That of the person who asks.
    #[must_use]
    pub fn own(environment: &Environment) -> Option<Self> {
        let path = PathBuf::from(environment("SHELL")?);
        match path.file_name()?.to_str()? {
            "bash" => Some(Shell::Bash),
            "zsh" => Some(Shell::Zsh),
            "fish" => Some(Shell::Fish),
            "nu" => Some(Shell::Nushell),
            _ => None,
        }
    }

    /// What it has to read.
    #[must_use]
    pub fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("chatctl.bash"),
            Shell::Zsh => include_str!("chatctl.zsh"),
            Shell::Fish => include_str!("chatctl.fish"),
            Shell::Nushell => include_str!("chatctl.nu"),
        }
    }

    /// Where it looks for that by itself, below the person's home; none without a home.
    #[must_use]
    pub fn file(self, environment: &Environment) -> Option<PathBuf> {
        let variable = |name: &str| environment(name).filter(|value: &OsString| !value.is_empty());
        let below = |name: &str, usual: &str| match variable(name) {
            Some(directory) => Some(PathBuf::from(directory)),
            None => Some(PathBuf::from(variable("HOME")?).join(usual)),
        };
        let data = below("XDG_DATA_HOME", ".local/share");
        match self {
            Shell::Bash => Some(data?.join("bash-completion/completions/chatctl")),
            Shell::Zsh => Some(data?.join("zsh/site-functions/_chatctl")),
            Shell::Fish => Some(below("XDG_CONFIG_HOME", ".config")?.join("fish/completions/chatctl.fish")),
            Shell::Nushell => Some(data?.join("nushell/vendor/autoload/chatctl.nu")),
        }
    }

    /// What else has to be done once.
    #[must_use]
    pub fn next_step(self) -> &'static str {
        match self {
            Shell::Bash => {
                "it counts in new shells, where the package bash-completion is loaded; else source the file in ~/.bashrc"
            }
            Shell::Zsh => {
                "it counts in new shells that have its directory in $fpath before `compinit` runs in ~/.zshrc"
            }
            Shell::Fish | Shell::Nushell => "it counts in new shells",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_its_own_place() {
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/a"));
        let files =
            [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Nushell].map(|shell| shell.file(&home).unwrap());
        let wanted = [
            "/home/a/.local/share/bash-completion/completions/chatctl",
            "/home/a/.local/share/zsh/site-functions/_chatctl",
            "/home/a/.config/fish/completions/chatctl.fish",
            "/home/a/.local/share/nushell/vendor/autoload/chatctl.nu",
        ];
        assert_eq!(files.map(|file| file.to_string_lossy().into_owned()), wanted);
        let elsewhere = |name: &str| (name == "XDG_DATA_HOME").then(|| OsString::from("/data"));
        assert!(Shell::Zsh.file(&elsewhere).unwrap().starts_with("/data"));
        assert_eq!(Shell::Fish.file(&|_| None), None);
    }

    #[test]
    fn the_own_shell_is_known_by_its_name() {
        let of = |path: &'static str| Shell::own(&move |_| Some(OsString::from(path)));
        assert_eq!(
            (of("/usr/bin/fish"), of("/bin/nu"), of("/bin/sh")),
            (Some(Shell::Fish), Some(Shell::Nushell), None)
        );
    }
}
