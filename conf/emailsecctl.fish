# fish completion for emailsecctl: the tool itself knows what could come next.
function __emailsecctl_candidates
        set -l words (commandline -opc)
        set -l current (commandline -ct)
        for line in (emailsecctl complete -- $words[2..-1] "$current" 2>/dev/null)
                if test "$line" = ":files"
                        __fish_complete_path "$current"
                else
                        echo $line
                end
        end
end
complete -c emailsecctl -f -a '(__emailsecctl_candidates)'
