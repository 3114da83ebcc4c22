/* SPDX-License-Identifier: MIT */
/* Forms, assertions and the table of refusals; see grant.h. */
#include "daemon/sasl/grant.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/sasl/repeat.h"

#include <stdio.h>

enum {
        FORM_MOST = 200 * KIB,
        ASSERTION_SECONDS = 600, /* Google takes an hour at the most */
        LIFE_MOST = 10 * 365 * 24 * 3600,
};

#define JWT_BEARER  "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define DEVICE_CODE "urn:ietf:params:oauth:grant-type:device_code"

/* ---- providers ---- */

static const struct provider_row {
        const char *name;
        const char *token_url, *device_url; /* %s: the tenant */
        const char *smtp, *imap, *pop3;     /* scopes */
        const char *own; /* scope where the client has its own credentials; NULL: the same */
} providers[] = {
        { "google", "https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/device/code",
          "https://mail.google.com/", "https://mail.google.com/", "https://mail.google.com/", NULL },
        { "microsoft", "https://login.microsoftonline.com/%s/oauth2/v2.0/token",
          "https://login.microsoftonline.com/%s/oauth2/v2.0/devicecode",
          "https://outlook.office.com/SMTP.Send offline_access",
          "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
          "https://outlook.office.com/POP.AccessAsUser.All offline_access",
          "https://outlook.office365.com/.default" },
        { "custom", "", "", "", "", "", NULL },
};

static const char *scope_of(const struct provider_row *provider, const struct property_values *values)
{
        const char *transport = prop_text(values, PROP_TRANSPORT);

        if (provider->own && prop_is(values, WORD_CLIENT_CREDENTIALS))
                return provider->own;
        return strcmp(transport, "imap") == 0   ? provider->imap
               : strcmp(transport, "pop3") == 0 ? provider->pop3
                                                : provider->smtp;
}

/* `usual` with the tenant in place of %s. */
static char *url_of(const char *set, const char *usual, const char *tenant)
{
        const char *at = strstr(usual, "%s");

        if (set[0])
                return copy_text(set);
        return at ? text_of("%.*s%s%s", (int)(at - usual), usual, tenant[0] ? tenant : "common", at + 2)
                  : copy_text(usual);
}

void grant_source_of(const struct property_values *values, struct grant_source *out)
{
        const char *name = prop_text(values, PROP_OAUTH_PROVIDER),
                   *scope = prop_text(values, PROP_OAUTH_SCOPE);
        const char *tenant = prop_text(values, PROP_OAUTH_TENANT);
        const struct provider_row *provider = &providers[count_of(providers) - 1];

        for (size_t i = 0; i < count_of(providers); i++)
                if (strcmp(providers[i].name, name) == 0)
                        provider = &providers[i];
        *out = (struct grant_source){
                .token_url =
                        url_of(prop_text(values, PROP_OAUTH_TOKEN_ENDPOINT), provider->token_url, tenant),
                .device_url =
                        url_of(prop_text(values, PROP_OAUTH_DEVICE_ENDPOINT), provider->device_url, tenant),
                .scope = copy_text(scope[0] ? scope : scope_of(provider, values)),
        };
}

void grant_source_done(struct grant_source *source)
{
        free(take(source->token_url));
        free(take(source->device_url));
        free(take(source->scope));
}

/* ---- asking ---- */

/* RFC 6749 appendix B: what is not a letter, a digit or one of four signs is escaped, a blank is a plus. */
static int add_escaped(struct buf *form, const char *text)
{
        for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
                bool plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
                             (*c >= 'a' && *c <= 'z') || strchr("-._*", *c) != NULL;
                if (plain       ? buf_append(form, c, 1)
                    : *c == ' ' ? buf_append(form, "+", 1)
                                : buf_appendf(form, "%%%02X", *c))
                        return -1;
        }
        return 0;
}

static void add_field(struct buf *form, const char *name, const char *value)
{
        if (!value || !value[0])
                return;
        if (buf_appendf(form, "%s%s=", form->len ? "&" : "", name) || add_escaped(form, value))
                buf_clear(form); /* past the bound, which no property and no secret reaches */
}

char *grant_form(const struct grant_request *request)
{
        struct buf form = BUF_WITH_MAX(FORM_MOST);
        const char *grant = request->refresh_token ? "refresh_token"
                            : request->device_code ? DEVICE_CODE
                            : request->assertion   ? JWT_BEARER
                                                   : "client_credentials";

        if (!request->ask_device)
                add_field(&form, "grant_type", grant);
        add_field(&form, "refresh_token", request->refresh_token);
        add_field(&form, "device_code", request->device_code);
        add_field(&form, "assertion", request->assertion);
        if (!request->assertion) { /* there it is inside: who asks, and what for */
                add_field(&form, "client_id", request->client_id);
                add_field(&form, "client_secret", request->ask_device ? NULL : request->client_secret);
        }
        if (!request->assertion && !request->device_code)
                add_field(&form, "scope", request->scope);
        char *copy = copy_bytes((const char *)buf_bytes(&form), form.len);
        buf_wipe(&form);
        return copy;
}

char *base64url_encode(const void *bytes, size_t len)
{
        char *text = base64_encode(bytes, len);

        for (char *c = text; *c; c++)
                *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
        text[strcspn(text, "=")] = '\0';
        return text;
}

char *grant_assertion(const char *algorithm, const char *client_id, const char *user, const char *audience,
                      const char *scope, int64_t now)
{
        json_t *claims = json_object();
        scoped(scoped_free) char *head = text_of("{\"alg\":\"%s\",\"typ\":\"JWT\"}", algorithm);

        json_put_text(claims, "iss", client_id);
        json_put_text(claims, "sub", user);
        json_put_text(claims, "aud", audience);
        if (scope[0])
                json_put_text(claims, "scope", scope);
        json_put(claims, "iat", json_integer(now));
        json_put(claims, "exp", json_integer(now + ASSERTION_SECONDS));
        char *words = json_dumps(claims, JSON_COMPACT);
        json_decref(claims);
        char *first = base64url_encode(head, strlen(head)), *second = base64url_encode(words, strlen(words));
        char *text = text_of("%s.%s", first, second);
        free(first);
        free(second);
        free(words);
        return text;
}

/* ---- being answered ---- */

/* RFC 6749 section 5.2, RFC 8628 section 3.5. */
static const struct refusal {
        const char *error;
        enum grant_result result;
        enum cause_code code;
        const char *words, *remedy;
} refusals[] = {
        { "authorization_pending", GRANT_PENDING, CAUSE_NONE, "", "" },
        { "slow_down", GRANT_SLOW_DOWN, CAUSE_NONE, "", "" },
        { "invalid_grant", GRANT_REFUSED, CAUSE_AUTHENTICATION,
          "what was agreed to is over or was taken back", "emailsecctl account authorize NAME" },
        { "invalid_client", GRANT_REFUSED, CAUSE_AUTHENTICATION,
          "it does not know this client, or its secret is wrong",
          "check oauthClientId; emailsecctl account password NAME --secret oauthClientSecret" },
        { "unauthorized_client", GRANT_REFUSED, CAUSE_AUTHENTICATION, "this client may not use this grant",
          "allow it where the client is registered, or set another oauthGrant" },
        { "unsupported_grant_type", GRANT_REFUSED, CAUSE_AUTHENTICATION, "it does not have this grant",
          "set another oauthGrant" },
        { "invalid_scope", GRANT_REFUSED, CAUSE_AUTHENTICATION, "the scope is not one it gives",
          "correct oauthScope" },
        { "invalid_request", GRANT_REFUSED, CAUSE_AUTHENTICATION, "it does not understand the request",
          "check oauthClientId, oauthTenant, oauthScope and the endpoints" },
        { "access_denied", GRANT_REFUSED, CAUSE_AUTHENTICATION, "somebody said no",
          "emailsecctl account authorize NAME" },
        { "expired_token", GRANT_REFUSED, CAUSE_AUTHENTICATION, "nobody agreed in time",
          "emailsecctl account authorize NAME" },
        { "temporarily_unavailable", GRANT_REFUSED, CAUSE_AUTH_TEMPORARY, "it cannot give one just now",
          "nothing to do if it passes by itself" },
        { "server_error", GRANT_REFUSED, CAUSE_AUTH_TEMPORARY, "something is wrong with it",
          "nothing to do if it passes by itself" },
};

static char *text_at(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text && text[0] ? copy_text(text) : NULL;
}

/* A number, also where it was written as a text. */
static int64_t seconds_at(const json_t *object, const char *name)
{
        const json_t *value = json_object_get(object, name);
        int64_t seconds = json_is_string(value) ? strtoll(json_string_value(value), NULL, 10)
                                                : json_integer_value(value);

        return seconds < 0 ? 0 : seconds < LIFE_MOST ? seconds : LIFE_MOST;
}

/* What a server says goes into a sentence unless it repeats what we sent in confidence. */
static const char *fit_to_tell(const char *words, const struct grant_request *request)
{
        const char *const secrets[] = { request->client_secret, request->refresh_token, request->device_code,
                                        request->assertion };

        for (size_t i = 0; words && i < count_of(secrets); i++)
                if (secret_repeated(words, strlen(words), secrets[i]))
                        return "its words repeat the secret and are left out";
        return words ? words : "it gives no reason";
}

static enum grant_result refused(const json_t *object, const struct http_answer *answer,
                                 const struct grant_request *request, struct grant_answer *out,
                                 struct cause *cause)
{
        const char *error = json_string_value(json_object_get(object, "error"));
        const char *said =
                fit_to_tell(json_string_value(json_object_get(object, "error_description")), request);

        for (size_t i = 0; error && i < count_of(refusals); i++) {
                const struct refusal *row = &refusals[i];
                if (strcmp(row->error, error) != 0)
                        continue;
                out->error = row->error;
                if (row->result == GRANT_REFUSED) {
                        cause_set(cause, row->code, "the token endpoint refuses (%s): %s; it says: %s", error,
                                  row->words, said);
                        cause_remedy(cause, "%s", row->remedy);
                }
                return row->result;
        }
        bool later = answer->status == 429 || answer->status / 100 == 5;
        cause_set(cause, later ? CAUSE_AUTH_TEMPORARY : CAUSE_AUTHENTICATION,
                  "the token endpoint answers %u (%s): %s", answer->status,
                  fit_to_tell(error ? error : "no OAuth error", request), said);
        cause_remedy(cause, "%s",
                     later ? "nothing to do if it passes by itself"
                           : "check oauthTenant and the endpoints of the account");
        return GRANT_REFUSED;
}

static enum grant_result not_one(struct cause *cause, const char *what)
{
        cause_set(cause, CAUSE_PROTOCOL, "the token endpoint answers with %s", what);
        cause_remedy(cause, "check oauthTenant and the endpoints of the account");
        return GRANT_REFUSED;
}

enum grant_result grant_read(const struct http_answer *answer, const struct grant_request *request,
                             struct grant_answer *out, struct cause *cause)
{
        enum grant_result result = GRANT_GIVEN;
        json_t *object = json_loadb((const char *)answer->body, answer->len, JSON_REJECT_DUPLICATES, NULL);

        *out = (struct grant_answer){ 0 };
        if (answer->status / 100 != 2 || json_object_get(object, "error")) {
                result = refused(object, answer, request, out, cause);
                json_decref(object);
                return result;
        }
        *out = (struct grant_answer){
                .access_token = text_at(object, "access_token"),
                .refresh_token = text_at(object, "refresh_token"),
                .device_code = text_at(object, "device_code"),
                .user_code = text_at(object, "user_code"),
                .verification_uri = text_at(object, "verification_uri"),
                .verification_uri_complete = text_at(object, "verification_uri_complete"),
                .expires_in = seconds_at(object, "expires_in"),
                .interval = seconds_at(object, "interval"),
        };
        if (!out->verification_uri)
                out->verification_uri = text_at(object, "verification_url"); /* Google's own word */
        if (!object)
                result = not_one(cause, "what is no JSON");
        else if (request->ask_device && (!out->device_code || !out->user_code || !out->verification_uri))
                result = not_one(cause, "no code for a person to type in");
        else if (!request->ask_device && !out->access_token)
                result = not_one(cause, "no access token");
        else if (!request->ask_device && !grant_is_token(out->access_token))
                result = not_one(cause, "an access token that holds a character which no token has");
        json_decref(object);
        return result;
}

bool grant_is_token(const char *text)
{
        for (; *text >= '!' && *text <= '~'; text++)
                ;
        return !*text;
}

void grant_answer_done(struct grant_answer *answer)
{
        free_secret(take(answer->access_token));
        free_secret(take(answer->refresh_token));
        free_secret(take(answer->device_code));
        free(take(answer->user_code));
        free(take(answer->verification_uri));
        free(take(answer->verification_uri_complete));
}
