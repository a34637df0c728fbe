# Completion of chatctl for Nushell: asks `chatctl complete`, and whoever was asked before for all else.
let chatctl_before = $env.config.completions.external?.completer?
$env.config.completions.external.completer = {|spans|
    if ($spans.0 | path basename) == "chatctl" {
        let lines = (^$spans.0 complete --nushell -- ...($spans | skip 1) e> /dev/null | lines)
        let found = ($lines | each {|line|
            let parts = ($line | split row --number 2 "\t")
            { value: $parts.0, description: ($parts.1? | default "") }
        })
        # Without an answer Nushell offers files.
        if ($found | is-empty) { null } else { $found }
    } else if $chatctl_before != null {
        do $chatctl_before $spans
    }
}
