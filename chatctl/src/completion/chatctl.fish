# Completion of chatctl for fish: asks `chatctl complete`.
function __chatctl_complete
    set -l words (commandline -opc)
    set -l found ($words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c chatctl -f -a '(__chatctl_complete)'
