# bash completion for emailsecctl: the tool itself knows what could come next.
_emailsecctl() {
        local line candidate
        local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
        COMPREPLY=()
        # bash splits PROP=VALUE at the equals sign; join the word the cursor is in again.
        if [[ ${#words[@]} -ge 2 && ${words[-1]} == "=" ]]; then
                words=("${words[@]:0:${#words[@]}-2}" "${words[-2]}=")
        elif [[ ${#words[@]} -ge 3 && ${words[-2]} == "=" ]]; then
                words=("${words[@]:0:${#words[@]}-3}" "${words[-3]}=${words[-1]}")
        fi
        while IFS= read -r line; do
                if [[ $line == ":files" ]]; then
                        compopt -o filenames 2>/dev/null
                        while IFS= read -r candidate; do
                                COMPREPLY+=("$candidate")
                        done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
                        continue
                fi
                candidate=${line%%$'\t'*}
                [[ $candidate == *= ]] && compopt -o nospace 2>/dev/null
                [[ ${words[-1]} == *=* ]] && candidate=${candidate#*=}
                COMPREPLY+=("$candidate")
        done < <(emailsecctl complete -- "${words[@]}" 2>/dev/null)
}
complete -F _emailsecctl emailsecctl
