# Completion of chatctl for Nushell: asks `chatctl complete`, and whoever was asked before for all else.
let chatctl_before = $env.config.completions.external?.completer?
$env.config.completions.external.enable = true
$env.config.completions.external.completer = {|spans|
    if ($spans.0 | path basename) == "chatctl" {
        ^$spans.0 complete -- ...($spans | skip 1) e> /dev/null | lines | each {|line|
            let parts = ($line | split row --number 2 "\t")
            { value: $parts.0, description: ($parts.1? | default "") }
        }
    } else if $chatctl_before != null {
        do $chatctl_before $spans
    }
}
