#compdef emailsecctl
# zsh completion for emailsecctl: the tool itself knows what could come next.
_emailsecctl() {
        local line candidate meaning
        local -a plain open
        for line in "${(@f)$(emailsecctl complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
                [[ -z $line ]] && continue
                if [[ $line == ":files" ]]; then
                        _files
                        continue
                fi
                candidate=${line%%$'\t'*}
                meaning=${line#*$'\t'}
                if [[ $candidate == *= ]]; then
                        open+=("${candidate//:/\\:}:$meaning")
                else
                        plain+=("${candidate//:/\\:}:$meaning")
                fi
        done
        (( $#plain )) && _describe -t values 'emailsecctl' plain
        (( $#open )) && _describe -t values 'emailsecctl' open -S ''
}
_emailsecctl "$@"
