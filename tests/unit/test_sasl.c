/* SPDX-License-Identifier: MIT */
/* The choice of a mechanism, and every exchange against GNU SASL's own server side or by hand. */
#include "daemon/sasl/gsasl.c"
#include "daemon/sasl/mechanism.c"
#include "daemon/sasl/own_exchanges.c"
#include "daemon/sasl/repeat.c"
#include "daemon/sasl/ways.c"

#include <check.h>

static const struct engine_channel in_clear, in_tls = { .tls = true };
static const struct engine_channel bound = { .tls = true,
                                             .binding = { .present = true, .exporter = { 1, 2, 3, 4 } } };

static const char *our_password = "pencil";
static unsigned calculations;

static struct signin signin_by(const char *mechanism)
{
        return (struct signin){ .user = "ann",
                                .secret = our_password,
                                .mechanism = mechanism,
                                .service = "smtp",
                                .host = "mail.example",
                                .port = 465 };
}

static const struct {
        const char *mechanism, *offered;
        const struct engine_channel *channel;
        bool allow_plaintext, no_secret;
        const char *chosen; /* NULL: refused for */
        enum cause_code code;
} choices[] = {
        { "auto", "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256", &in_tls, false, false, "SCRAM-SHA-256",
          0 },
        { "auto", "SCRAM-SHA-1-PLUS SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &bound, false, false,
          "SCRAM-SHA-256-PLUS", 0 },
        { "auto", "SCRAM-SHA-1-PLUS SCRAM-SHA-256", &bound, false, false, "SCRAM-SHA-1-PLUS", 0 },
        { "auto", "SCRAM-SHA-256-PLUS SCRAM-SHA-1", &in_tls, false, false, "SCRAM-SHA-1", 0 },
        { "auto", "LOGIN PLAIN CRAM-MD5", &in_tls, false, false, "CRAM-MD5", 0 },
        { "auto", "LOGIN PLAIN", &in_tls, false, false, "PLAIN", 0 },
        { "auto", "LOGIN", &in_tls, false, false, "LOGIN", 0 },
        { "", "LOGIN", &in_tls, false, false, "LOGIN", 0 },
        { "auto", "LOGIN PLAIN", &in_clear, false, false, NULL, CAUSE_PLAINTEXT_LOGIN },
        { "auto", "LOGIN PLAIN", &in_clear, true, false, "PLAIN", 0 },
        { "auto", "CRAM-MD5 PLAIN", &in_clear, false, false, "CRAM-MD5", 0 },
        { "auto", "XOAUTH2 OAUTHBEARER EXTERNAL GSSAPI", &in_tls, false, false, NULL, CAUSE_NO_MECHANISM },
        { "auto", "", &in_tls, false, false, NULL, CAUSE_NO_MECHANISM },
        { "auto", "PLAIN", &in_tls, false, true, NULL, CAUSE_SECRET },
        { "auto", "XPLAIN PLAINX", &in_tls, false, false, NULL, CAUSE_NO_MECHANISM },
        { "plain", "SCRAM-SHA-256 plain", &in_tls, false, false, "PLAIN", 0 },
        { "plain", "SCRAM-SHA-256", &in_tls, false, false, NULL, CAUSE_NO_MECHANISM },
        { "plain", "PLAIN", &in_clear, false, false, NULL, CAUSE_PLAINTEXT_LOGIN },
        { "login", "PLAIN LOGIN", &in_tls, false, false, "LOGIN", 0 },
        { "cram-md5", "PLAIN CRAM-MD5", &in_clear, false, false, "CRAM-MD5", 0 },
        { "scram-sha-256", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &bound, false, false, "SCRAM-SHA-256", 0 },
        { "scram-sha-256-plus", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &bound, false, false,
          "SCRAM-SHA-256-PLUS", 0 },
        { "scram-sha-256-plus", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &in_tls, false, false, NULL,
          CAUSE_NO_MECHANISM },
        { "scram-sha-1-plus", "SCRAM-SHA-1 SCRAM-SHA-1-PLUS", &bound, false, false, "SCRAM-SHA-1-PLUS", 0 },
        { "auto", "DIGEST-MD5", &in_tls, false, false, NULL, CAUSE_NO_MECHANISM },
        { "scram-sha-256", "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", &in_tls, false, false, "SCRAM-SHA-256", 0 },
        { "scram-sha-256", "SCRAM-SHA-1", &in_tls, false, false, NULL, CAUSE_NO_MECHANISM },
        { "scram-sha-1", "SCRAM-SHA-256 SCRAM-SHA-1", &in_tls, false, false, "SCRAM-SHA-1", 0 },
        { "oauthbearer", "XOAUTH2 OAUTHBEARER", &in_tls, false, false, "OAUTHBEARER", 0 },
        { "oauthbearer", "OAUTHBEARER", &in_clear, false, false, NULL, CAUSE_PLAINTEXT_LOGIN },
        { "xoauth2", "XOAUTH2 PLAIN", &in_tls, false, false, "XOAUTH2", 0 },
        { "external", "EXTERNAL", &in_tls, false, true, "EXTERNAL", 0 },
};

START_TEST(test_choice)
{
        struct signin signin = signin_by(choices[_i].mechanism);
        struct cause cause = { 0 };

        signin.allow_plaintext = choices[_i].allow_plaintext;
        if (choices[_i].no_secret)
                signin.secret = NULL;
        const char *chosen = sasl_choose(&signin, choices[_i].channel, choices[_i].offered, NULL, &cause);
        ck_assert_msg(same_text(chosen, choices[_i].chosen), "%s of %s: %s", choices[_i].mechanism,
                      choices[_i].offered, chosen ? chosen : cause.text);
        if (!chosen) {
                ck_assert_int_eq(cause.code, choices[_i].code);
                ck_assert(cause.text[0]);
        }
}
END_TEST

static const char *const poor_passwords[] = { "pencil\xF0\x9F\x98\x80", "pencil\x07", "pencil\xFF" };

/* What SCRAM cannot carry PLAIN can; within TLS, and where the choice is ours. */
START_TEST(test_choice_by_password)
{
        struct signin signin = signin_by("auto");
        struct cause cause = { 0 };

        signin.secret = poor_passwords[_i];
        ck_assert_str_eq(sasl_choose(&signin, &in_tls, "SCRAM-SHA-256 PLAIN", NULL, &cause), "PLAIN");
        ck_assert_str_eq(sasl_choose(&signin, &in_tls, "SCRAM-SHA-256", NULL, &cause), "SCRAM-SHA-256");
        ck_assert_str_eq(sasl_choose(&signin, &in_clear, "SCRAM-SHA-256 PLAIN", NULL, &cause),
                         "SCRAM-SHA-256");
        signin.mechanism = "scram-sha-256";
        ck_assert_str_eq(sasl_choose(&signin, &in_tls, "SCRAM-SHA-256 PLAIN", NULL, &cause), "SCRAM-SHA-256");
}
END_TEST

START_TEST(test_choice_by_memory)
{
        struct signin signin = signin_by("auto");
        struct cause cause = { 0 };

        signin.broken = "SCRAM-SHA-256-PLUS CRAM-MD5";
        ck_assert_str_eq(sasl_choose(&signin, &bound, "SCRAM-SHA-256-PLUS SCRAM-SHA-256", NULL, &cause),
                         "SCRAM-SHA-256");
        ck_assert_str_eq(sasl_choose(&signin, &in_tls, "CRAM-MD5 PLAIN", NULL, &cause), "PLAIN");
        ck_assert_str_eq(sasl_choose(&signin, &in_clear, "CRAM-MD5 PLAIN", NULL, &cause), "CRAM-MD5");
        signin.mechanism = "cram-md5";
        ck_assert_str_eq(sasl_choose(&signin, &in_tls, "CRAM-MD5 PLAIN", NULL, &cause), "CRAM-MD5");
}
END_TEST

/* A mechanism that is not one of ours is named, and no setting is promised for it. */
START_TEST(test_words_of_no_mechanism)
{
        struct signin signin = signin_by("auto");
        struct cause cause = { 0 };

        ck_assert_ptr_null(sasl_choose(&signin, &in_tls, "DIGEST-MD5", NULL, &cause));
        ck_assert_msg(strstr(cause.text, "DIGEST-MD5") && strstr(cause.text, "RFC 6331"), "%s", cause.text);
        ck_assert_msg(!strstr(cause_remedy_of(&cause), "authentication"), "%s", cause_remedy_of(&cause));
        ck_assert_ptr_null(sasl_choose(&signin, &in_tls, "NTLM GSSAPI", NULL, &cause));
        ck_assert(!strstr(cause_remedy_of(&cause), "authentication"));
        ck_assert_ptr_null(sasl_choose(&signin, &in_tls, "GSSAPI XOAUTH2", NULL, &cause));
        ck_assert_ptr_nonnull(strstr(cause_remedy_of(&cause), "authentication=xoauth2"));
        signin.mechanism = "scram-sha-256";
        ck_assert_ptr_null(sasl_choose(&signin, &in_tls, "LOGIN PLAIN", NULL, &cause));
        ck_assert_ptr_nonnull(strstr(cause_remedy_of(&cause), "authentication=plain|login"));
}
END_TEST

/* ---- the second way ---- */

struct attempt {
        enum server_kind kind;
        bool first_sent, showed;
};
#define WRONG         { SAID_WRONG_PASSWORD, true, true }
#define WRONG_AT_ONCE { SAID_WRONG_PASSWORD, true, false }
#define SYNTAX        { SAID_MECHANISM, true, true }
#define SYNTAX_LATER  { SAID_MECHANISM, false, false }

static const struct {
        const char *mechanism, *proven, *offered;
        const struct engine_channel *channel;
        struct attempt attempts[6];
        const char *tried; /* in this order */
} ways_tried[] = {
        { "auto", NULL, "CRAM-MD5 PLAIN LOGIN", &in_tls, { WRONG, WRONG }, "CRAM-MD5 PLAIN " },
        { "auto", NULL, "CRAM-MD5 PLAIN LOGIN", &in_clear, { WRONG }, "CRAM-MD5 " },
        { "auto", "CRAM-MD5", "CRAM-MD5 PLAIN LOGIN", &in_tls, { WRONG }, "CRAM-MD5 " },
        { "cram-md5", NULL, "CRAM-MD5 PLAIN LOGIN", &in_tls, { WRONG }, "CRAM-MD5 " },
        { "auto", NULL, "PLAIN LOGIN", &in_tls, { WRONG }, "PLAIN " },
        { "auto",
          NULL,
          "PLAIN LOGIN",
          &in_tls,
          { { SAID_REFUSED, true, true }, { SAID_REFUSED, false, true } },
          "PLAIN LOGIN " },
        { "auto",
          NULL,
          "PLAIN LOGIN",
          &in_tls,
          { SYNTAX, SYNTAX_LATER, SYNTAX_LATER },
          "PLAIN PLAIN LOGIN " },
        { "plain", NULL, "PLAIN LOGIN", &in_tls, { SYNTAX, SYNTAX_LATER }, "PLAIN PLAIN " },
        { "auto", NULL, "PLAIN LOGIN", &in_tls, { { SAID_CONNECTIONS, true, true } }, "PLAIN " },
        { "auto", NULL, "PLAIN LOGIN", &in_tls, { { SAID_APP_PASSWORD, true, true } }, "PLAIN " },
        /* over-claimed: refused before anything was shown */
        { "auto",
          NULL,
          "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN",
          &in_tls,
          { WRONG_AT_ONCE, WRONG, WRONG },
          "SCRAM-SHA-256 CRAM-MD5 PLAIN " },
        { "auto",
          NULL,
          "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN",
          &in_tls,
          { SYNTAX, SYNTAX_LATER, SYNTAX_LATER },
          "SCRAM-SHA-256 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN " },
        { "auto",
          NULL,
          "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN",
          &bound,
          { WRONG_AT_ONCE, WRONG_AT_ONCE, WRONG },
          "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN " },
        /* the binding is another than the server's */
        { "auto",
          NULL,
          "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN",
          &bound,
          { WRONG, WRONG },
          "SCRAM-SHA-256-PLUS SCRAM-SHA-256 " },
        { "auto",
          NULL,
          "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
          &in_tls,
          { WRONG, WRONG },
          "SCRAM-SHA-256 PLAIN " },
        /* who proved itself by SCRAM is not shown the password for a change */
        { "auto",
          "SCRAM-SHA-256",
          "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN",
          &in_tls,
          { WRONG_AT_ONCE, WRONG_AT_ONCE },
          "SCRAM-SHA-256 " },
        { "auto", "SCRAM-SHA-256", "SCRAM-SHA-256 PLAIN", &in_tls, { WRONG }, "SCRAM-SHA-256 " },
        { "scram-sha-256-plus",
          NULL,
          "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN",
          &bound,
          { WRONG },
          "SCRAM-SHA-256-PLUS " },
};

START_TEST(test_ways)
{
        struct signin signin = signin_by(ways_tried[_i].mechanism);
        struct sasl_ways ways = { 0 };
        struct buf tried = BUF_WITH_MAX(KIB);
        struct cause cause = { 0 };

        signin.proven = ways_tried[_i].proven;
        for (size_t i = 0; i < count_of(ways_tried[_i].attempts); i++) {
                const struct attempt *attempt = &ways_tried[_i].attempts[i];
                struct sasl_refusal refusal = { attempt->kind, attempt->first_sent, attempt->showed };
                const char *chosen =
                        sasl_choose(&signin, ways_tried[_i].channel, ways_tried[_i].offered, &ways, &cause);
                if (!chosen)
                        break;
                ck_assert_int_eq(buf_appendf(&tried, "%s ", chosen), 0);
                if (sasl_refused(&ways, &signin, chosen, &refusal) == SASL_NO_MORE)
                        break;
        }
        scoped(scoped_free) char *all = buf_take_text(&tried);
        ck_assert_str_eq(all, ways_tried[_i].tried);
}
END_TEST

/* Without TLS, where that is allowed: what the first try has shown may be shown again; what it has not is
 * not. */
START_TEST(test_ways_in_clear)
{
        struct signin signin = signin_by("auto");
        struct sasl_ways ways = { 0 };
        struct sasl_refusal refusal = { SAID_REFUSED, true, true };
        struct cause cause = { 0 };

        signin.allow_plaintext = true;
        ck_assert_str_eq(sasl_choose(&signin, &in_clear, "PLAIN LOGIN", &ways, &cause), "PLAIN");
        ck_assert_int_eq(sasl_refused(&ways, &signin, "PLAIN", &refusal), SASL_NEXT);
        ck_assert_str_eq(sasl_choose(&signin, &in_clear, "PLAIN LOGIN", &ways, &cause), "LOGIN");
        ck_assert_int_eq(sasl_may_login_plainly(&signin, &in_clear, &ways, &cause), 0);
        ways = (struct sasl_ways){ 0 };
        ck_assert_int_eq(sasl_refused(&ways, &signin, "CRAM-MD5", &refusal), SASL_NEXT);
        ck_assert_ptr_null(sasl_choose(&signin, &in_clear, "CRAM-MD5 PLAIN LOGIN", &ways, &cause));
        ck_assert_int_ne(sasl_may_login_plainly(&signin, &in_clear, &ways, &cause), 0);
}
END_TEST

/* A server that refuses whatever comes is not asked for ever. */
START_TEST(test_ways_end)
{
        struct signin signin = signin_by("auto");
        struct sasl_ways ways = { 0 };
        struct sasl_refusal refusal = { SAID_MECHANISM, true, true };
        struct cause cause = { 0 };
        unsigned count = 0;

        for (const char *chosen;
             (chosen = sasl_choose(
                      &signin, &bound,
                      "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN",
                      &ways, &cause));
             count++)
                if (sasl_refused(&ways, &signin, chosen, &refusal) == SASL_NO_MORE)
                        break;
        ck_assert_uint_eq(count, REFUSALS_MOST);
        signin.broken = "LOGIN OLD";
        scoped(scoped_free) char *broken = sasl_broken(&ways, &signin, "PLAIN SCRAM-SHA-256 LOGIN");
        ck_assert_str_eq(broken, "SCRAM-SHA-256 PLAIN LOGIN");
}
END_TEST

START_TEST(test_remedy_of_a_refusal)
{
        struct signin signin = signin_by("cram-md5");
        struct cause cause = { 0 };

        cause_set(&cause, CAUSE_AUTHENTICATION, "no");
        signin_remedy(&signin, "CRAM-MD5", "plain|login", &cause);
        ck_assert_ptr_nonnull(strstr(cause_remedy_of(&cause), "account password NAME"));
        ck_assert_ptr_nonnull(strstr(cause_remedy_of(&cause), "authentication=plain|login"));
        cause_set(&cause, CAUSE_SERVER_BUSY, "no");
        signin_remedy(&signin, "CRAM-MD5", "plain|login", &cause);
        ck_assert_ptr_null(strstr(cause_remedy_of(&cause), "authentication"));
}
END_TEST

START_TEST(test_login_prompts)
{
        static const char *const prompts[] = {
                "VXNlcm5hbWU6", "", "=", "Username:", "please enter user name", "VXNlciBOYW1lAA==", "%%"
        };
        struct signin signin = signin_by("login");

        for (size_t i = 0; i < count_of(prompts); i++) {
                struct cause cause = { 0 };
                struct sasl *sasl = sasl_new(&signin, &in_tls, "LOGIN", &cause);
                ck_assert_ptr_null(sasl_first(sasl, &cause));
                ck_assert(!sasl_showed(sasl));
                char *user = sasl_feed(sasl, prompts[i], &cause);
                ck_assert(!sasl_showed(sasl));
                char *secret = sasl_feed(sasl, prompts[i], &cause);
                ck_assert(sasl_showed(sasl));
                ck_assert_str_eq(user, "YW5u");
                ck_assert_str_eq(secret, "cGVuY2ls");
                ck_assert_int_eq(sasl_finish(sasl, NULL, &cause), 0);
                free_secret(user);
                free_secret(secret);
                sasl_free(sasl);
        }
}
END_TEST

START_TEST(test_login_command)
{
        struct cause cause = { 0 };
        struct signin signin = signin_by("auto");

        ck_assert_int_eq(sasl_may_login_plainly(&signin, &in_tls, NULL, &cause), 0);
        ck_assert_int_eq(sasl_may_login_plainly(&signin, &in_clear, NULL, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_PLAINTEXT_LOGIN);
        signin.allow_plaintext = true;
        ck_assert_int_eq(sasl_may_login_plainly(&signin, &in_clear, NULL, &cause), 0);
        signin.mechanism = "scram-sha-256";
        ck_assert_int_eq(sasl_may_login_plainly(&signin, &in_tls, NULL, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_NO_MECHANISM);
        signin.mechanism = "login";
        signin.secret = "";
        ck_assert_int_eq(sasl_may_login_plainly(&signin, &in_tls, NULL, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_SECRET);
}
END_TEST

/* ---- against the library's server ---- */

static const char *server_password;

static int server_callback(Gsasl *context unused_arg, Gsasl_session *session, Gsasl_property property)
{
        switch ((int)property) {
        case GSASL_PASSWORD:
                return gsasl_property_set(session, GSASL_PASSWORD, server_password);
        case GSASL_VALIDATE_EXTERNAL:
                return same_text(gsasl_property_get(session, GSASL_AUTHZID), "ann")
                               ? GSASL_OK
                               : GSASL_AUTHENTICATION_ERROR;
        default:
                return GSASL_NO_CALLBACK;
        }
}

/* Another letter in the signature, still good base64 within base64. */
static void spoil(char **challenge)
{
        uint8_t *bytes;
        size_t len;

        ck_assert_int_eq(base64_decode(*challenge, strlen(*challenge), &bytes, &len), 0);
        bytes[5] = bytes[5] == 'A' ? 'B' : 'A';
        gsasl_free(*challenge);
        *challenge = base64_encode(bytes, len);
        free(bytes);
}

/* Talks to the end; true when the server is content. `spoil_final` alters the server's last message. */
static char *feed(struct sasl *sasl, const char *challenge, bool apart, struct cause *cause)
{
        struct calculation *calculation = apart ? sasl_calculation(sasl, challenge) : NULL;

        if (!calculation)
                return sasl_feed(sasl, challenge, cause);
        calculations++;
        calculation->work(calculation);
        char *answer = sasl_calculated(sasl, calculation, cause);
        calculation->free(calculation);
        return answer;
}

/* `apart`: what takes long is worked out as the daemon has it done. */
static bool talk_as(const char *mechanism, const struct engine_channel *ours,
                    const struct engine_channel *theirs, bool spoil_final, bool apart, struct cause *cause)
{
        struct signin signin = signin_by("auto");
        Gsasl *context;
        Gsasl_session *server;
        char *challenge = NULL;
        int code = GSASL_NEEDS_MORE;

        ck_assert_int_eq(gsasl_init(&context), GSASL_OK);
        gsasl_callback_set(context, server_callback);
        ck_assert_int_eq(gsasl_server_start(context, mechanism, &server), GSASL_OK);
        if (theirs->binding.present)
                ck_assert_int_eq(set_binding(server, &theirs->binding, cause), 0);
        struct sasl *sasl = sasl_new(&signin, ours, mechanism, cause);
        ck_assert_msg(sasl != NULL, "%s", cause->text);
        char *answer = sasl_first(sasl, cause);
        ck_assert_msg(cause->code == CAUSE_NONE, "%s", cause->text);
        if (!answer) {
                code = gsasl_step64(server, "", &challenge);
                ck_assert_int_eq(code, GSASL_NEEDS_MORE);
                answer = feed(sasl, challenge, apart, cause);
                gsasl_free(take(challenge));
        }
        while (answer && code == GSASL_NEEDS_MORE) {
                code = gsasl_step64(server, answer, &challenge);
                free_secret(take(answer));
                if ((code != GSASL_NEEDS_MORE && code != GSASL_OK) || (code == GSASL_OK && !challenge[0]))
                        break;
                if (spoil_final && strncmp(challenge, "dj", 2) == 0) /* "v=" */
                        spoil(&challenge);
                answer = feed(sasl, challenge, apart, cause);
                gsasl_free(take(challenge));
        }
        gsasl_free(challenge);
        free_secret(answer);
        if (code == GSASL_OK && cause->code == CAUSE_NONE)
                (void)!sasl_finish(sasl, NULL, cause);
        sasl_free(sasl);
        gsasl_finish(server);
        gsasl_done(context);
        return code == GSASL_OK && cause->code == CAUSE_NONE;
}

static bool talk(const char *mechanism, const struct engine_channel *ours,
                 const struct engine_channel *theirs, bool spoil_final, struct cause *cause)
{
        return talk_as(mechanism, ours, theirs, spoil_final, true, cause);
}

static const char *const by_library[] = {
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256-PLUS",
        "EXTERNAL",
};

START_TEST(test_right_and_wrong_password)
{
        struct cause cause = { 0 };

        server_password = "pencil";
        ck_assert_msg(talk(by_library[_i], &bound, &bound, false, &cause), "%s: %s", by_library[_i],
                      cause.text);
        server_password = "pencils";
        bool secretless = same_text(by_library[_i], "EXTERNAL");
        ck_assert_int_eq(talk(by_library[_i], &bound, &bound, false, &cause), secretless);
}
END_TEST

/* Worked out apart or by the library on the way: the same, also for a password that SASLprep changes. */
START_TEST(test_scram_worked_out_apart)
{
        static const char *const passwords[] = { "pencil",
                                                 ("pen\xC2\xAD"
                                                  "cil"),
                                                 "\xE2\x85\xA8", "p\xC3\xA4ss w\xC3\xB6rd" };
        struct cause cause = { 0 };

        for (size_t i = 0; i < count_of(passwords); i++) {
                our_password = server_password = passwords[i];
                calculations = 0;
                ck_assert_msg(talk_as("SCRAM-SHA-256", &in_tls, &in_clear, false, true, &cause), "%s",
                              cause.text);
                ck_assert_uint_eq(calculations, 1);
                ck_assert_msg(talk_as("SCRAM-SHA-1", &in_tls, &in_clear, false, true, &cause), "%s",
                              cause.text);
                ck_assert_uint_eq(calculations, 2);
                ck_assert_msg(talk_as("SCRAM-SHA-256", &in_tls, &in_clear, false, false, &cause), "%s",
                              cause.text);
        }
        our_password = "pencil";
}
END_TEST

START_TEST(test_binding_of_another_channel)
{
        struct engine_channel other = bound;
        struct cause cause = { 0 };

        server_password = "pencil";
        other.binding.exporter[31] = 9;
        ck_assert(!talk("SCRAM-SHA-256-PLUS", &bound, &other, false, &cause));
        /* Without -PLUS no binding is asked for, known or not. */
        cause_clear(&cause);
        ck_assert(talk("SCRAM-SHA-256", &bound, &in_clear, false, &cause));
}
END_TEST

START_TEST(test_wrong_server_signature)
{
        struct cause cause = { 0 };

        server_password = "pencil";
        ck_assert(!talk("SCRAM-SHA-256", &in_tls, &in_clear, true, &cause));
        ck_assert_int_eq(cause.code, CAUSE_SERVER_SIGNATURE);
}
END_TEST

/* ---- hostile servers ---- */

/* The server-first message for our client-first one: `pattern` with our nonce in place of '$'. */
static char *server_first(const char *client_first64, const char *pattern)
{
        uint8_t *bytes;
        size_t len;

        ck_assert_int_eq(base64_decode(client_first64, strlen(client_first64), &bytes, &len), 0);
        char *text = copy_bytes((char *)bytes, len);
        const char *nonce = strstr(text, "r=") + 2;
        const char *at = strchr(pattern, '$');
        char *message =
                at ? text_of("%.*s%s%s", (int)(at - pattern), pattern, nonce, at + 1) : copy_text(pattern);
        char *encoded = base64_encode(message, strlen(message));
        free(message);
        free(text);
        free(bytes);
        return encoded;
}

static const struct {
        const char *first;
        enum cause_code code; /* CAUSE_NONE: goes on */
} firsts[] = {
        { "r=$X,s=QSXCR+Q6sek8bf92,i=4096", CAUSE_NONE },
        { "r=$X,s=QSXCR+Q6sek8bf92,i=1000001", CAUSE_PROTOCOL },
        { "r=$X,s=QSXCR+Q6sek8bf92,i=4294967296", CAUSE_PROTOCOL },
        { "r=$X,s=QSXCR+Q6sek8bf92,i=99999999999999999999999999", CAUSE_PROTOCOL },
        { "r=$X,s=QSXCR+Q6sek8bf92,i=1", CAUSE_PROTOCOL },
        { "r=$X,s=QSXCR+Q6sek8bf92,i=-4096", CAUSE_PROTOCOL },
        { "r=$X,s=QSXCR+Q6sek8bf92,i=4096x", CAUSE_PROTOCOL },
        { "r=$X,s=QSXCR+Q6sek8bf92", CAUSE_PROTOCOL },
        { "r=X$,s=QSXCR+Q6sek8bf92,i=4096", CAUSE_SERVER_SIGNATURE },
        { "e=other-error", CAUSE_AUTHENTICATION },
        { "nonsense,i=4096", CAUSE_PROTOCOL },
        { "", CAUSE_PROTOCOL },
};

START_TEST(test_scram_challenges)
{
        struct signin signin = signin_by("auto");
        struct cause cause = { 0 };
        struct sasl *sasl = sasl_new(&signin, &in_tls, "SCRAM-SHA-256", &cause);
        ck_assert_ptr_nonnull(sasl);
        char *first = sasl_first(sasl, &cause);
        char *challenge = server_first(first, firsts[_i].first);
        char *answer = feed(sasl, challenge, true, &cause);

        ck_assert_msg(cause.code == firsts[_i].code, "%s: %s", firsts[_i].first, cause.text);
        ck_assert_int_eq(answer != NULL, firsts[_i].code == CAUSE_NONE);
        if (answer) { /* success without a signature */
                ck_assert_int_eq(sasl_finish(sasl, NULL, &cause), -1);
                ck_assert_int_eq(cause.code, CAUSE_SERVER_SIGNATURE);
                ck_assert_int_eq(sasl_finish(sasl, "dj1BQUFB", &cause), -1); /* v=AAAA */
                ck_assert(cause.code != CAUSE_NONE);
        }
        free(challenge);
        free_secret(answer);
        free_secret(first);
        sasl_free(sasl);
}
END_TEST

START_TEST(test_bad_base64_and_endless)
{
        struct signin signin = signin_by("auto");
        struct cause cause = { 0 };
        struct sasl *sasl = sasl_new(&signin, &in_tls, "CRAM-MD5", &cause);
        ck_assert_ptr_nonnull(sasl);
        ck_assert_ptr_null(sasl_first(sasl, &cause));
        ck_assert_int_eq(cause.code, CAUSE_NONE);
        ck_assert_ptr_null(sasl_feed(sasl, "Username:", &cause));
        ck_assert_int_eq(cause.code, CAUSE_PROTOCOL);
        static char big[LIMIT_SASL_MESSAGE + 5];
        memset(big, 'A', sizeof big - 1);
        ck_assert_ptr_null(sasl_feed(sasl, big, &cause));
        sasl_free(sasl);

        sasl = sasl_new(&signin, &in_tls, "XOAUTH2", &cause);
        ck_assert_ptr_nonnull(sasl);
        unsigned rounds = 0;
        char *answer;
        while ((answer = sasl_feed(sasl, "", &cause)) && ++rounds < 1000)
                free_secret(answer);
        ck_assert_uint_eq(rounds, LIMIT_SASL_ROUNDS);
        sasl_free(sasl);
}
END_TEST

static void expect_text(char *base64, const char *expected, size_t len)
{
        uint8_t *bytes = NULL;
        size_t count = 0;

        ck_assert_ptr_nonnull(base64);
        if (base64[0])
                ck_assert_int_eq(base64_decode(base64, strlen(base64), &bytes, &count), 0);
        ck_assert_uint_eq(count, len);
        if (len)
                ck_assert_mem_eq(bytes, expected, len);
        free(bytes);
        free_secret(base64);
}

START_TEST(test_oauth)
{
        static const char bearer[] =
                "n,a=a=2Cb=3D@x,\001host=mail.example\001port=465\001auth=Bearer tok.en\001\001";
        static const char xoauth2[] = "user=a,b=@x\001auth=Bearer tok.en\001\001";
        struct signin signin = signin_by("oauthbearer");
        struct cause cause = { 0 };

        signin.user = "a,b=@x";
        signin.secret = "tok.en";
        struct sasl *sasl = sasl_new(&signin, &in_tls, "OAUTHBEARER", &cause);
        expect_text(sasl_first(sasl, &cause), bearer, sizeof bearer - 1);
        expect_text(sasl_feed(sasl, "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=", &cause), "\001", 1);
        sasl_free(sasl);
        sasl = sasl_new(&signin, &in_tls, "XOAUTH2", &cause);
        expect_text(sasl_first(sasl, &cause), xoauth2, sizeof xoauth2 - 1);
        expect_text(sasl_feed(sasl, "eyJzdGF0dXMiOiI0MDAifQ==", &cause), "", 0);
        ck_assert_int_eq(sasl_finish(sasl, NULL, &cause), 0);
        sasl_free(sasl);
        signin.secret = "tok\001en";
        ck_assert_ptr_null(sasl_new(&signin, &in_tls, "XOAUTH2", &cause));
        ck_assert_int_eq(cause.code, CAUSE_SECRET);
        signin.secret = "token";
        ck_assert_ptr_null(sasl_new(&signin, &in_clear, "XOAUTH2", &cause));
        ck_assert_int_eq(cause.code, CAUSE_PLAINTEXT_LOGIN);
        ck_assert_ptr_null(sasl_new(&signin, &in_tls, "GSSAPI", &cause));
        ck_assert_int_eq(cause.code, CAUSE_NO_MECHANISM);
}
END_TEST

/* The same bytes, as they may come back. */
static const struct {
        const char *secret, *words;
        bool repeated;
} repeats[] = {
        { "1//0g/ab+cd=ef", "no 1//0g/ab+cd=ef here", true },
        { "1//0g/ab+cd=ef", "refresh_token=1%2F%2F0g%2Fab%2Bcd%3Def&x", true },
        { "1//0g/ab+cd=ef", "refresh_token=1%2f%2f0g/ab+cd%3def", true },
        { "1//0g/ab+cd=ef", "refresh_token%3D1%252F%252F0g%252Fab%252Bcd%253Def", true },
        { "1//0g/ab+cd=ef", "1\\/\\/0g\\/ab+cd=ef", true },
        { "1//0g/ab+cd=ef", "1\\u002f\\u002F0g\\u002fab\\u002bcd=ef", true },
        { "1//0g/ab+cd=ef", "1&#x2F;&#x2F;0g&#x2F;ab&#43;cd&#61;ef", true },
        { "1//0g/ab+cd=ef", "1=2F=2F0g=2Fab=2Bcd=3Def", true },
        { "a b c", "a+b+c", true },
        { "pass word\\", "{\"p\":\"pass word\\\\\"}", true },
        { "\xc3\xbcmlaut", "%C3%BCmlaut", true },
        { "ab?>cd~~ef", "YWI_PmNkfn5lZg", true }, /* base64url */
        { "ab?>cd~~ef", "user:YWI/PmNkfn5lZg==", true },
        { "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl",
          "token eyJhbGciOiJSUzI1NiJ9.eyJz... is bad", true }, /* cut */
        { "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl", "...hbm5hIn0.c2lnbmF0dXJl", true },
        { "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl", "Token has been expired or revoked.",
          false },
        { "1//0g/ab+cd=ef", "100% of 1%2 =zz \\u00 \\ & it", false },
        { "1//0g/ab+cd=ef", "", false },
        { "", "anything", false },
        { NULL, "anything", false },
};

START_TEST(test_repeated_in_any_form)
{
        const char *words = repeats[_i].words;

        ck_assert_msg(secret_repeated(words, strlen(words), repeats[_i].secret) == repeats[_i].repeated, "%s",
                      words);
}
END_TEST

/* A server may repeat what it was sent: whatever stands before the secret, its base64 is known again. */
START_TEST(test_repeated_messages)
{
        static const char *const with[] = { "PLAIN", "OAUTHBEARER", "XOAUTH2" };
        static const char *const users[] = { "a", "ab", "abc" };
        struct signin signin = signin_by("auto");
        struct cause cause = { 0 };

        for (size_t i = 0; i < count_of(with); i++)
                for (size_t user = 0; user < count_of(users); user++) {
                        signin.user = users[user];
                        signin.secret = "ya29.tok-en";
                        struct sasl *sasl = sasl_new(&signin, &in_tls, with[i], &cause);
                        char *first = sasl_first(sasl, &cause);
                        char *words = text_of("535 5.7.8 %s refused", first);
                        ck_assert_msg(signin_repeated(&signin, words, strlen(words)), "%s %s", with[i],
                                      words);
                        signin.secret = "ya29.toK-en";
                        ck_assert(!signin_repeated(&signin, words, strlen(words)));
                        free(words);
                        free_secret(first);
                        sasl_free(sasl);
                }
        signin.secret = "a"; /* which stands in any words */
        ck_assert(!signin_repeated(&signin, "-ERR there is no such mailbox", 29));
        for (const char *secret = "abcdef"; *secret; secret++) { /* a short one is not found in any words */
                signin.secret = secret;
                ck_assert(!signin_repeated(&signin, "535 5.7.8 no", 12));
        }
}
END_TEST

START_TEST(test_secret_is_wiped)
{
        struct signin signin = signin_by("plain");
        struct cause cause = { 0 };
        struct sasl *sasl = sasl_new(&signin, &in_tls, "PLAIN", &cause);
        ck_assert_ptr_nonnull(sasl);
        wipe_property(sasl->session, GSASL_PASSWORD);
        ck_assert_str_eq(gsasl_property_fast(sasl->session, GSASL_PASSWORD), "");
        sasl_free(sasl);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("sasl");
        TCase *tc = tcase_create("sasl");

        tcase_add_loop_test(tc, test_choice, 0, (int)count_of(choices));
        tcase_add_test(tc, test_login_command);
        tcase_add_loop_test(tc, test_choice_by_password, 0, (int)count_of(poor_passwords));
        tcase_add_test(tc, test_choice_by_memory);
        tcase_add_test(tc, test_words_of_no_mechanism);
        tcase_add_loop_test(tc, test_ways, 0, (int)count_of(ways_tried));
        tcase_add_test(tc, test_ways_in_clear);
        tcase_add_test(tc, test_ways_end);
        tcase_add_test(tc, test_remedy_of_a_refusal);
        tcase_add_test(tc, test_login_prompts);
        tcase_add_loop_test(tc, test_right_and_wrong_password, 0, (int)count_of(by_library));
        tcase_add_test(tc, test_scram_worked_out_apart);
        tcase_add_test(tc, test_binding_of_another_channel);
        tcase_add_test(tc, test_wrong_server_signature);
        tcase_add_loop_test(tc, test_scram_challenges, 0, (int)count_of(firsts));
        tcase_add_test(tc, test_bad_base64_and_endless);
        tcase_add_test(tc, test_oauth);
        tcase_add_test(tc, test_repeated_messages);
        tcase_add_loop_test(tc, test_repeated_in_any_form, 0, (int)count_of(repeats));
        tcase_add_test(tc, test_secret_is_wiped);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
