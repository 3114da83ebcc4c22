/* SPDX-License-Identifier: MIT */
/*
 * The tables of kinds and codes (that of words is in server_words_rows.c); see server_words.h. A special code
 * (UNAVAILABLE, IN-USE, 4yz) decides whether a refusal passes, and words then say more closely what it is; a
 * general one (AUTHENTICATIONFAILED, ALERT, none at all) leaves all to the words.
 */
#include "daemon/wire/server_words.h"

#include "common/limits.h"
#include "daemon/wire/server_words_rows.h"

#include <strings.h>

/* ---- kinds ---- */

static const struct kind {
        enum cause_code signing_in, later;
        const char *remedy;
} kinds[SERVER_KINDS] = {
        [SAID_NOTHING_KNOWN] = { CAUSE_NONE, CAUSE_NONE, NULL },
        [SAID_CONNECTIONS] = { CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY,
                               "nothing to do if it passes by itself; else end other programs that are "
                               "signed in to this account, or lower "
                               "maxConnections" },
        [SAID_THROTTLED] = { CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY,
                             "nothing to do if it passes by itself; else use the account less often: "
                             "pollRate, and other programs that are "
                             "signed in to it" },
        [SAID_IN_USE] = { CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY,
                          "nothing to do if it passes by itself; else end the other program that has this "
                          "mailbox open" },
        [SAID_TEMPORARY] = { CAUSE_AUTH_TEMPORARY, CAUSE_SERVER_BUSY, NULL },
        [SAID_SENDING_LIMIT] = { CAUSE_SERVER_BUSY, CAUSE_DEFERRED,
                                 "nothing to do: it goes on when the provider's limit allows; else send less "
                                 "by this account" },
        [SAID_LOCKED_OUT] = { CAUSE_AUTH_TEMPORARY, CAUSE_SERVER_BUSY,
                              "the server shuts sign-ins out for a while after wrong ones: see that every "
                              "program there has the right "
                              "password, wait, then: emailsecctl account password NAME" },
        [SAID_WRONG_PASSWORD] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION, NULL },
        [SAID_REFUSED] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION, NULL },
        [SAID_MECHANISM] = { CAUSE_NO_MECHANISM, CAUSE_NO_MECHANISM,
                             "set another authentication that the server offers: emailsecctl account set "
                             "NAME authentication=plain (within "
                             "TLS only)" },
        [SAID_OTHER_WAY] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                             "the server wants another mechanism or an app password: see its words, then set "
                             "authentication or: "
                             "emailsecctl account password NAME" },
        [SAID_WANTS_TLS] = { CAUSE_PLAINTEXT_LOGIN, CAUSE_PLAINTEXT_LOGIN,
                             "the server may want TLS first: emailsecctl account secure NAME ssl|starttls" },
        [SAID_APP_PASSWORD] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                                "the provider wants an app password in place of the account's own: make one "
                                "in its security settings, then: "
                                "emailsecctl account password NAME" },
        [SAID_PASSWORD_CODE] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                                 "turn IMAP, POP3 and SMTP on in the provider's web mail and store the "
                                 "authorization code that it gives there "
                                 "in place of the password: emailsecctl account password NAME" },
        [SAID_WEB_LOGIN] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                             "sign in once with a web browser and confirm that it was you; where the "
                             "provider has app passwords, store one: "
                             "emailsecctl account password NAME" },
        [SAID_WANTS_OAUTH] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                               "the provider no longer takes passwords here: set oauthProvider and "
                               "authentication=xoauth2, then: "
                               "emailsecctl account authorize NAME" },
        [SAID_PROTOCOL_OFF] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                                "turn this protocol (IMAP, POP3, SMTP sign-in) on for the mailbox in the "
                                "provider's settings, or have its "
                                "administrator do it; if it is on: emailsecctl account password NAME" },
        [SAID_ACCOUNT_OFF] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                               "ask the provider: it has shut this account off" },
        [SAID_PASSWORD_EXPIRED] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                                    "set a new password with the provider, then: emailsecctl account "
                                    "password NAME" },
        [SAID_TRANSITION] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                              "the server wants the password changed, or one sign-in by "
                              "authentication=plain, first" },
        [SAID_NOT_ALLOWED] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                               "ask the server's operator: this user may not do that there" },
        [SAID_WANTS_SIGNIN] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                                "set the property account, then: emailsecctl account password NAME" },
        [SAID_NOT_OUR_SENDER] = { CAUSE_REFUSED, CAUSE_REFUSED,
                                  "send as an address that belongs to this account, or have the provider "
                                  "allow the other one" },
        [SAID_ADDRESS_BLOCKED] = { CAUSE_CONNECT, CAUSE_REFUSED,
                                   "the server keeps this machine's network address out: read its words; "
                                   "mail leaves by a provider's submission "
                                   "port (587, 465) rather than by port 25" },
        [SAID_NO_MAILBOX] = { CAUSE_MAILBOX, CAUSE_MAILBOX, NULL },
        [SAID_MAILBOX_BROKEN] = { CAUSE_MAILBOX, CAUSE_MAILBOX,
                                  "ask the server's operator: something is wrong with this mailbox there" },
        [SAID_OUR_FAULT] = { CAUSE_PROTOCOL, CAUSE_PROTOCOL, NULL },
};

static bool passes(enum server_kind kind)
{
        return kind >= SAID_CONNECTIONS && kind <= SAID_LOCKED_OUT;
}

/* ---- codes ---- */

/* What is general leaves it to the words. */
static const struct {
        unsigned protocols, phases;
        const char *code;
        bool general;
        enum server_kind kind;
} codes[] = {
        { SERVER_IMAP, ANY_PHASE, "UNAVAILABLE", false, SAID_TEMPORARY },
        { SERVER_IMAP, ANY_PHASE, "SERVERBUG", false, SAID_TEMPORARY },
        { SERVER_IMAP, ANY_PHASE, "INUSE", false, SAID_IN_USE },
        { SERVER_IMAP, ANY_PHASE, "LIMIT", false, SAID_THROTTLED },
        { SERVER_IMAP, ANY_PHASE, "THROTTLED", false, SAID_THROTTLED },
        { SERVER_IMAP, ANY_PHASE, "OVERQUOTA", false, SAID_THROTTLED },
        { SERVER_IMAP, ANY_PHASE, "PRIVACYREQUIRED", false, SAID_WANTS_TLS },
        { SERVER_IMAP, ANY_PHASE, "EXPIRED", false, SAID_PASSWORD_EXPIRED },
        { SERVER_IMAP, ANY_PHASE, "AUTHENTICATIONFAILED", true, SAID_WRONG_PASSWORD },
        { SERVER_IMAP, ANY_PHASE, "AUTHORIZATIONFAILED", true, SAID_NOT_ALLOWED },
        { SERVER_IMAP, ANY_PHASE, "WEBALERT", true, SAID_WEB_LOGIN },
        { SERVER_IMAP, SIGNING_IN, "CONTACTADMIN", true, SAID_NOT_ALLOWED },
        { SERVER_IMAP, SIGNING_IN, "NOPERM", true, SAID_NOT_ALLOWED },
        { SERVER_IMAP, PHASE_MAILBOX, "NOPERM", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "NONEXISTENT", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "TRYCREATE", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "CANNOT", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "CORRUPTION", true, SAID_MAILBOX_BROKEN },
        { SERVER_IMAP, ANY_PHASE, "CLIENTBUG", true, SAID_OUR_FAULT },
        { SERVER_POP3, ANY_PHASE, "SYS/TEMP", false, SAID_TEMPORARY },
        { SERVER_POP3, ANY_PHASE, "IN-USE", false, SAID_IN_USE },
        { SERVER_POP3, ANY_PHASE, "LOGIN-DELAY", false, SAID_THROTTLED },
        { SERVER_POP3, ANY_PHASE, "AUTH", true, SAID_WRONG_PASSWORD },
        { SERVER_POP3, ANY_PHASE, "SYS/PERM", true, SAID_MAILBOX_BROKEN },
};

/* RFC 4954 section 6; the last one that fits is taken. The words of a 4yz never make it permanent but for
 * 432. */
static const struct {
        unsigned from, to;
        unsigned phases;
        bool general;
        enum server_kind kind;
} statuses[] = {
        { 400, 499, ANY_PHASE, false, SAID_TEMPORARY },
        { 432, 432, PHASE_SIGNIN, true, SAID_TRANSITION },
        { 500, 599, PHASE_SIGNIN, false, SAID_REFUSED },
        { 500, 504, PHASE_SIGNIN, false, SAID_MECHANISM },
        { 500, 599, PHASE_GREETING | PHASE_MAIL, false, SAID_NOTHING_KNOWN },
        { 530, 530, SIGNING_IN, false, SAID_WANTS_TLS },
        { 530, 530, PHASE_MAIL, false, SAID_WANTS_SIGNIN },
        { 534, 534, PHASE_SIGNIN, false, SAID_OTHER_WAY },
        { 535, 535, PHASE_SIGNIN, false, SAID_WRONG_PASSWORD },
        { 538, 538, ANY_PHASE, false, SAID_WANTS_TLS },
};

/* ---- a reply among them ---- */

static bool is_blank(char c)
{
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* One line, single blanks, ended. */
static void flatten(const struct server_words *said, char *to, size_t size)
{
        size_t at = 0;

        for (size_t i = 0; i < said->len && at + 1 < size; i++) {
                char c = is_blank(said->words[i]) ? ' ' : said->words[i];
                if (c && (c != ' ' || (at && to[at - 1] != ' ')))
                        to[at++] = c;
        }
        to[at] = '\0';
}

static bool fits(const struct server_row *row, const char *words)
{
        const char *first = strcasestr(words, row->first);

        return first && (!row->second || strcasestr(first + strlen(row->first), row->second));
}

static const struct server_row *row_of(const struct server_words *said, const char *words)
{
        for (size_t i = 0; i < server_row_count; i++)
                if ((server_rows[i].protocols & said->protocol) && (server_rows[i].phases & said->phase) &&
                    fits(&server_rows[i], words))
                        return &server_rows[i];
        return NULL;
}

struct coded {
        enum server_kind kind;
        bool general;
};

static struct coded kind_of_status(const struct server_words *said)
{
        struct coded found = { SAID_NOTHING_KNOWN, true };

        for (size_t i = 0; i < count_of(statuses); i++)
                if (said->status >= statuses[i].from && said->status <= statuses[i].to &&
                    (statuses[i].phases & said->phase))
                        found = (struct coded){ statuses[i].kind, statuses[i].general };
        return found;
}

/* The response code: given apart, or in brackets before the words. */
static struct coded kind_of_code(const struct server_words *said, const char *words)
{
        const char *code = said->code_len ? said->code : words[0] == '[' ? words + 1 : "";
        size_t len = said->code_len ? said->code_len : strcspn(code, "]");
        size_t word = 0;

        while (word < len && !is_blank(code[word]))
                word++;
        for (size_t i = 0; i < count_of(codes); i++)
                if ((codes[i].protocols & said->protocol) && (codes[i].phases & said->phase) &&
                    strlen(codes[i].code) == word && strncasecmp(codes[i].code, code, word) == 0)
                        return (struct coded){ codes[i].kind, codes[i].general };
        return (struct coded){ SAID_NOTHING_KNOWN, true };
}

struct server_meaning server_words_meaning(const struct server_words *said)
{
        char words[KIB];

        flatten(said, words, sizeof words);
        struct coded coded = said->protocol == SERVER_SMTP ? kind_of_status(said) : kind_of_code(said, words);
        const struct server_row *row = row_of(said, words);
        enum server_kind kind = coded.kind;
        bool lasts = !coded.general && !passes(kind);

        if (row &&
            (coded.general || row->firm || row->kind == SAID_LOCKED_OUT || passes(row->kind) == passes(kind)))
                kind = row->kind;
        bool signing_in = said->phase == PHASE_SIGNIN || said->phase == PHASE_GREETING;
        struct server_meaning meaning = {
                .kind = kind,
                .code = signing_in ? kinds[kind].signing_in : kinds[kind].later,
                .remedy = kinds[kind].remedy,
        };
        if (kind == SAID_LOCKED_OUT && lasts)
                meaning.code = CAUSE_AUTHENTICATION;
        if (said->phase == PHASE_MAIL && meaning.code == CAUSE_SERVER_BUSY)
                meaning.code = CAUSE_DEFERRED;
        return meaning;
}

void server_meaning_remedy(const struct server_meaning *meaning, struct cause *cause)
{
        if (meaning->remedy)
                cause_remedy(cause, "%s", meaning->remedy);
}
