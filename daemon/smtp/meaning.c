/* SPDX-License-Identifier: MIT */
/* The table of meanings; see meaning.h. The first row that fits decides; where none does, the class of the
 * code does. */
#include "daemon/smtp/meaning.h"

enum {
        ODD_ATTEMPTS = 8, /* so often is refused what went well before, two to three hours long, until that is
                             believed */
};

/* What a row asks for besides command, code and words. */
enum {
        IF_PARAMETERS = 1,
        IF_PIPELINED = 2,
        IF_ACCEPTED = 4,
        IF_NOT_SIGNED_IN = 8,
        IF_WORKED = 16, /* and not yet refused too often */
        IF_YOUNG = 32,  /* not yet refused too often */
        IF_BARE = 64,   /* no enhanced code */
        IF_CARRIED = 128,
};

enum {
        ENVELOPE = SMTP_TO_MAIL | SMTP_TO_RCPT,
        CONTENT = SMTP_TO_DATA | SMTP_TO_BDAT | SMTP_TO_DOT,
        MESSAGE = ENVELOPE | CONTENT,
};

static const struct row {
        unsigned commands;
        unsigned low, high;   /* of the code */
        const char *enhanced; /* what follows the class, of which one must fit: ".5.1 .5.4", ".5." any of that
                               * subject; NULL: any or none */
        const char *words;    /* one of these parts must be there, any case, '|' between; NULL: any */
        unsigned when;
        enum meaning meaning;
        enum server_kind kind; /* what wire/server_words must know the words as; 0: any */
} rows[] = {
        /* the session */
        { SMTP_TO_MAIL | SMTP_TO_RSET, 400, 499, ".4.2", NULL, IF_CARRIED, MEANS_NEW_SESSION, 0 },
        { SMTP_TO_MAIL | SMTP_TO_RSET, 400, 599, NULL,
          "this session|per session|this connection|per connection|timeout|timed out|time out|idle",
          IF_CARRIED, MEANS_NEW_SESSION, 0 },
        { SMTP_TO_MAIL | SMTP_TO_RSET, 421, 421, NULL, NULL, IF_CARRIED | IF_BARE, MEANS_ENDS,
          SAID_THROTTLED },
        { SMTP_TO_MAIL | SMTP_TO_RSET, 421, 421, NULL, NULL, IF_CARRIED | IF_BARE, MEANS_ENDS,
          SAID_CONNECTIONS },
        { SMTP_TO_MAIL | SMTP_TO_RSET, 421, 421, NULL, NULL, IF_CARRIED | IF_BARE, MEANS_NEW_SESSION, 0 },
        { ~0u, 421, 421, NULL, NULL, 0, MEANS_ENDS, 0 },

        /* our name; "ehlo" and "helo" in words of a refusal are about nothing else */
        { SMTP_TO_EHLO, 500, 500, NULL, NULL, 0, MEANS_HELO, 0 },
        { SMTP_TO_EHLO, 502, 503, NULL, NULL, 0, MEANS_HELO, 0 },
        { SMTP_TO_EHLO, 501, 599, NULL, NULL, 0, MEANS_OTHER_NAME, 0 },
        { SMTP_TO_EHLO, 400, 499, NULL, "helo|ehlo|hostname", 0, MEANS_OTHER_NAME, 0 },
        { MESSAGE, 503, 503, NULL, "helo|ehlo", 0, MEANS_NO_PIPELINING,
          0 }, /* "say HELO first": it has lost its state */
        { MESSAGE, 400, 599, NULL, "helo |ehlo |helo:|helo/|ehlo/|helo_|heloname", 0, MEANS_OTHER_NAME, 0 },

        /* signing in */
        { MESSAGE, 530, 530, NULL, NULL, 0, MEANS_SIGN_IN, 0 },
        { MESSAGE, 534, 535, NULL, NULL, 0, MEANS_SIGN_IN, 0 },
        { MESSAGE, 538, 538, NULL, NULL, 0, MEANS_SIGN_IN, 0 },
        { MESSAGE, 500, 599, NULL,
          "authentication required|authentication is required|authentication needed|not authenticated|must "
          "authenticate|"
          "need to authenticate|auth first|log in first|login first|must log in|auth required",
          IF_NOT_SIGNED_IN, MEANS_SIGN_IN, 0 },

        /* our way of asking */
        { SMTP_TO_BDAT, 500, 504, NULL, NULL, IF_ACCEPTED, MEANS_NO_CHUNKING, 0 },
        { SMTP_TO_BDAT, 505, 599, ".5.1 .5.2 .5.4", NULL, IF_ACCEPTED, MEANS_NO_CHUNKING, 0 },
        { SMTP_TO_BDAT, 500, 599, NULL, "bdat|chunk", IF_ACCEPTED, MEANS_NO_CHUNKING, 0 },
        { MESSAGE, 500, 599, NULL, "pipelin|synchroni", IF_PIPELINED, MEANS_NO_PIPELINING, 0 },
        { SMTP_TO_MAIL, 503, 503, NULL, NULL, 0, MEANS_NO_PIPELINING, 0 }, /* after RSET */
        { SMTP_TO_RCPT, 503, 503, NULL, NULL, IF_PIPELINED, MEANS_NO_PIPELINING, 0 },
        { SMTP_TO_DATA, 503, 503, NULL, NULL, IF_PIPELINED | IF_ACCEPTED, MEANS_NO_PIPELINING, 0 },
        { ENVELOPE, 500, 599, ".1.", NULL, IF_PARAMETERS, MEANS_NEVER, 0 }, /* syntax of the address */
        { ENVELOPE, 555, 555, NULL, NULL, IF_PARAMETERS, MEANS_NO_PARAMETERS, 0 },
        { ENVELOPE, 500, 504, NULL, NULL, IF_PARAMETERS, MEANS_NO_PARAMETERS, 0 },
        { ENVELOPE, 505, 599, ".5.1 .5.2 .5.4", NULL, IF_PARAMETERS, MEANS_NO_PARAMETERS, 0 },
        { ENVELOPE, 505, 599, NULL, "parameter|unsupported option|unrecognized option|unknown option",
          IF_PARAMETERS, MEANS_NO_PARAMETERS, 0 },

        /* recipients at once */
        { SMTP_TO_RCPT, 400, 599, ".5.3", NULL, IF_ACCEPTED, MEANS_TOO_MANY, 0 },
        { SMTP_TO_RCPT, 452, 452, NULL, NULL, IF_ACCEPTED | IF_BARE, MEANS_TOO_MANY, 0 },
        { SMTP_TO_RCPT, 552, 552, NULL, NULL, IF_ACCEPTED | IF_BARE, MEANS_TOO_MANY, 0 },
        { SMTP_TO_RCPT, 400, 599, NULL,
          "too many recipients|many recipients|recipient limit|recipients per|recipients exceed", IF_ACCEPTED,
          MEANS_TOO_MANY, 0 },
        { CONTENT, 400, 599, ".5.3", NULL, IF_ACCEPTED, MEANS_TOO_MANY,
          0 }, /* all of them, for the sake of those beyond */
        { CONTENT, 400, 599, NULL, "too many recipients|many recipients|recipient limit", IF_ACCEPTED,
          MEANS_TOO_MANY, 0 },
        { SMTP_TO_RCPT, 552, 552, ".5.3", NULL, 0, MEANS_LATER, 0 }, /* RFC 5321 section 4.5.3.1.10 */
        { SMTP_TO_RCPT, 552, 552, NULL, NULL, IF_BARE, MEANS_LATER, 0 },

        /* one recipient's mailbox */
        { SMTP_TO_RCPT, 500, 599, ".2. .1.1 .1.2 .1.3 .1.6 .1.10", NULL, 0, MEANS_NEVER, 0 },
        { SMTP_TO_RCPT, 500, 599, NULL, "mailbox|no such user|user unknown|unknown user", 0, MEANS_NEVER, 0 },

        /* what the account may send */
        { MESSAGE, 500, 599, ".4.5", NULL, 0, MEANS_ACCOUNT_LATER, 0 },
        { MESSAGE, 500, 599, ".7.705 .7.708", NULL, 0, MEANS_ACCOUNT_LATER, 0 },
        { MESSAGE, 400, 599, NULL, NULL, 0, MEANS_ACCOUNT_LATER, SAID_SENDING_LIMIT },
        { MESSAGE, 500, 599, NULL,
          "message limit|mails per|messages per|outgoing limit|limit for today|exceeded your|reached your", 0,
          MEANS_ACCOUNT_LATER, 0 },
        { SMTP_TO_MAIL | CONTENT, 500, 599, NULL, NULL, 0, MEANS_ACCOUNT_LATER, SAID_THROTTLED },
        { SMTP_TO_MAIL | CONTENT, 500, 599, NULL, NULL, 0, MEANS_ACCOUNT_LATER, SAID_CONNECTIONS },
        { SMTP_TO_MAIL | CONTENT, 500, 599, NULL,
          "limit exceeded|quota exceeded|too many messages|too many mails|too fast", 0, MEANS_ACCOUNT_LATER,
          0 },
        { MESSAGE, 500, 599, NULL, "your account|sender account|sending account", 0, MEANS_ACCOUNT_LATER, 0 },
        { SMTP_TO_MAIL | CONTENT, 500, 599, NULL,
          "account disabled|account is disabled|account has been disabled|account suspended|account is "
          "suspended|"
          "account has been suspended|account locked|account is locked|account blocked|account is "
          "blocked|user suspended|"
          "user is suspended|user is locked|user locked|user disabled|user is disabled",
          0, MEANS_ACCOUNT_LATER, 0 },

        /* 5yz with the words of a 4yz; and what went well before and is refused now to all alike */
        { MESSAGE, 500, 599, NULL,
          "try again later|try later|try again in|temporar|retry later|please try again", IF_YOUNG,
          MEANS_LATER, 0 },
        { SMTP_TO_MAIL, 500, 599, ".3.4", NULL, 0, MEANS_NEVER, 0 },
        { SMTP_TO_MAIL, 552, 552, NULL, NULL, 0, MEANS_NEVER, 0 },
        { SMTP_TO_MAIL, 500, 599, NULL, NULL, IF_WORKED, MEANS_LATER, 0 },
        { SMTP_TO_RCPT, 500, 599, NULL, "relay|client host|authenticat|access denied|not permitted to send",
          IF_WORKED, MEANS_LATER, 0 },
        { SMTP_TO_DATA | SMTP_TO_BDAT, 500, 504, NULL, NULL, IF_WORKED, MEANS_LATER, 0 },
};

/* True when one of the parts, '|' between, stands in the words. */
static bool has_words(const char *words, const char *parts)
{
        char part[80];

        while (*parts) {
                size_t len = strcspn(parts, "|");
                if (len < sizeof part) {
                        memcpy(part, parts, len);
                        part[len] = '\0';
                        if (strcasestr(words, part))
                                return true;
                }
                parts += len + (parts[len] == '|');
        }
        return false;
}

/* True when the code after its class is one of `wanted`, or begins with one that ends in a dot. */
static bool has_enhanced(const char *enhanced, const char *wanted)
{
        const char *rest = enhanced[0] ? enhanced + 1 : "";

        while (*wanted) {
                size_t len = strcspn(wanted, " ");
                if (strncmp(rest, wanted, len) == 0 && (wanted[len - 1] == '.' || !rest[len]))
                        return true;
                wanted += len + (wanted[len] == ' ');
        }
        return false;
}

static enum server_kind kind_of(const struct said *said)
{
        struct server_words words = {
                .protocol = SERVER_SMTP,
                .phase = PHASE_MAIL,
                .status = said->code,
                .code = said->enhanced,
                .code_len = strlen(said->enhanced),
                .words = said->words,
                .len = strlen(said->words),
        };

        return server_words_meaning(&words).kind;
}

/* The conditions that hold. */
static unsigned conditions_of(const struct said *said)
{
        bool young = said->attempts < ODD_ATTEMPTS;

        return (said->parameters ? IF_PARAMETERS : 0) | (said->pipelined ? IF_PIPELINED : 0) |
               (said->accepted ? IF_ACCEPTED : 0) | (said->signed_in ? 0 : IF_NOT_SIGNED_IN) |
               (said->worked && young ? IF_WORKED : 0) | (young ? IF_YOUNG : 0) |
               (said->enhanced[0] ? 0 : IF_BARE) | (said->carried ? IF_CARRIED : 0);
}

static bool fits(const struct row *row, const struct said *said)
{
        return (row->commands & said->command) && said->code >= row->low && said->code <= row->high &&
               (row->when & ~conditions_of(said)) == 0 &&
               (!row->enhanced || has_enhanced(said->enhanced, row->enhanced)) &&
               (!row->words || has_words(said->words, row->words)) &&
               (!row->kind || row->kind == kind_of(said));
}

enum meaning smtp_meaning(const struct said *said)
{
        if (said->code < 400)
                return MEANS_TAKEN;
        for (size_t i = 0; i < count_of(rows); i++)
                if (fits(&rows[i], said))
                        return rows[i].meaning;
        return said->code < 500 ? MEANS_LATER : MEANS_NEVER;
}

bool smtp_asks_for_less(const struct said *said)
{
        if (said->code == 421 || said->code == 432 || has_enhanced(said->enhanced, ".3.2"))
                return true;
        if (said->code < 400 || said->code > 499 || !has_enhanced(said->enhanced, ".7.") ||
            has_words(said->words, "greylist|graylist|grey list|gray list|grey-list|gray-list|greytrap"))
                return false; /* it is about who writes to whom */
        return said->command != SMTP_TO_RCPT ||
               has_words(said->words, " rate|throttl|too many|too fast|too much|slow down|connections");
}
