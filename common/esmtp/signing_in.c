/* SPDX-License-Identifier: MIT */
/* AUTH (RFC 4954): the lines of an exchange and their base64; what is said in it is the owner's to
 * understand. */
#include "common/esmtp/parts.h"
#include "common/json_fields.h"

#include <stdio.h>
#include <strings.h>

void esmtp_signin_over(struct esmtp *esmtp)
{
        if (esmtp->said)
                explicit_bzero(esmtp->said, esmtp->said_len);
        free(take(esmtp->said));
        esmtp->said_len = 0;
}

/* A word of the list, in any case. */
static bool is_offered(const struct esmtp *esmtp, const char *mechanism)
{
        size_t len = strlen(mechanism);

        for (const char *at = esmtp->mechanisms; at && *at; at += strspn(at, " ")) {
                size_t word = strcspn(at, " ");
                if (word == len && strncasecmp(at, mechanism, len) == 0)
                        return true;
                at += word;
        }
        return false;
}

/* False: it is no base64, and that was said. */
static bool take_said(struct esmtp *esmtp, const char *text)
{
        esmtp_signin_over(esmtp);
        if (base64_decode(text, strlen(text), &esmtp->said, &esmtp->said_len) == 0)
                return true;
        esmtp->state = STATE_COMMAND;
        esmtp_wrong(esmtp, 501, "5.5.2", "what came is not base64");
        return false;
}

/* False: nobody can sign in now, and that was said. */
static bool may_sign_in(struct esmtp *esmtp)
{
        if (esmtp->signed_in || esmtp->has_mail) {
                esmtp_wrong(esmtp, 503, "5.5.1",
                            esmtp->has_mail ? "not within a message" : "you have signed in already");
                return false;
        }
        if (esmtp->mechanisms && esmtp->secure)
                return true;
        if (esmtp->mechanisms)
                esmtp_wrong(esmtp, 538, "5.7.11", "a password is taken inside TLS only: say STARTTLS first");
        else
                esmtp_wrong(esmtp, 502, "5.5.1", "nobody can sign in here");
        return false;
}

void esmtp_on_auth(struct esmtp *esmtp, char *rest)
{
        size_t word = strcspn(rest, " ");
        char *initial = rest + word + strspn(rest + word, " ");

        if (!may_sign_in(esmtp))
                return;
        rest[word] = '\0';
        if (!esmtp->extended || !is_offered(esmtp, rest)) {
                esmtp_wrong(esmtp, 504, "5.5.4", "the mechanisms here are %s", esmtp->mechanisms);
                return;
        }
        (void)snprintf(esmtp->mechanism, sizeof esmtp->mechanism, "%s", rest);
        for (char *c = esmtp->mechanism; *c; c++)
                if (*c >= 'a' && *c <= 'z')
                        *c = (char)(*c - 'a' + 'A');
        esmtp->signin_first = true;
        esmtp_signin_over(esmtp);
        if (!initial[0] || take_said(esmtp, strcmp(initial, "=") == 0 ? "" : initial))
                esmtp_wish(esmtp, ESMTP_SIGNIN);
}

void esmtp_signin_line(struct esmtp *esmtp, const char *line)
{
        if (strcmp(line, "*") == 0) {
                esmtp->state = STATE_COMMAND;
                esmtp_wrong(esmtp, 501, "5.7.0", "given up");
        } else if (take_said(esmtp, line)) {
                esmtp_wish(esmtp, ESMTP_SIGNIN);
        }
}

void esmtp_signin(const struct esmtp *esmtp, struct esmtp_signin *out)
{
        *out = (struct esmtp_signin){ .mechanism = esmtp->mechanism,
                                      .first = esmtp->signin_first,
                                      .bytes = esmtp->said,
                                      .len = esmtp->said_len };
}

void esmtp_challenge(struct esmtp *esmtp, const void *bytes, size_t len)
{
        scoped(scoped_free) char *text = base64_encode(bytes, len);

        if (esmtp->state != STATE_WANTS || esmtp->want != ESMTP_SIGNIN)
                return;
        esmtp_signin_over(esmtp);
        esmtp->signin_first = false;
        esmtp->state = STATE_SIGNIN;
        if (buf_appendf(&esmtp->out, "334 %s\r\n", text) < 0)
                esmtp->state = STATE_OVER; /* ESMTP_FLUSH comes long before */
}
