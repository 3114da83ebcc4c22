/* SPDX-License-Identifier: MIT */
/* The list of CAPA (RFC 2449). */
#include "daemon/pop3/state.h"

#include <ctype.h>
#include <strings.h>

void pop3_forget_capabilities(struct pop3_session *session)
{
        free(session->capabilities.mechanisms);
        free(session->capabilities.words);
        session->capabilities = (struct pop3_capabilities){ 0 };
}

bool pop3_begins(const char *line, const char *word)
{
        size_t len = strlen(word);

        return strncasecmp(line, word, len) == 0 && (line[len] == ' ' || line[len] == '\0');
}

void pop3_capa_line(struct pop3_session *session, const char *text, size_t len unused_arg)
{
        struct pop3_capabilities *all = &session->capabilities;

        if (++all->lines > LIMIT_CAPABILITIES ||
            (all->words && strlen(all->words) + strlen(text) > LIMIT_LINE)) {
                (void)chat_fail(&session->chat, CAUSE_PROTOCOL, "the server lists more than %d capabilities",
                                LIMIT_CAPABILITIES);
                return;
        }
        char *before = all->words;
        all->words = before ? text_of("%s %s", before, text) : copy_text(text);
        free(before);
        all->stls |= pop3_begins(text, "STLS");
        all->user |= pop3_begins(text, "USER");
        all->top |= pop3_begins(text, "TOP");
        all->pipelining |= pop3_begins(text, "PIPELINING");
        all->utf8 |= pop3_begins(text, "UTF8");
        if (pop3_begins(text, "SASL") && !all->mechanisms) {
                all->mechanisms = copy_text(text[4] ? text + 5 : "");
                for (char *at = all->mechanisms; *at; at++)
                        *at = (char)toupper((unsigned char)*at);
        }
}
