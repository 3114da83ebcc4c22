/* SPDX-License-Identifier: MIT */
/* The property sheet: each row whole, values taken and refused, the rules between them, warnings, JSON. */
#include "common/properties.c"
#include "common/property_values.c"

#include <check.h>
#include <stdio.h>

static json_t *json_of(const char *text)
{
        json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

        ck_assert_msg(value != NULL, "%s", text);
        return value;
}

/* An account with name and host, changed by `request` without a look at the rules. */
static void account_of(struct property_values *values, enum account_kind kind, const char *request)
{
        struct causes problems = { 0 };
        json_t *name = json_string("a"), *object = json_of(request);

        properties_defaults(values, kind);
        ck_assert_int_eq(property_set(values, &properties[PROP_NAME], name, &problems), 0);
        int result = properties_apply(values, object, &problems);
        ck_assert_msg(result == 0, "%s", result ? problems.items[0].text : "");
        json_decref(name);
        json_decref(object);
}

START_TEST(every_row_is_whole)
{
        const struct property *property = &properties[_i];

        ck_assert_ptr_nonnull(property->name);
        ck_assert_ptr_eq(property_named(property->name), property);
        ck_assert_int_eq((int)property_id(property), _i);
        ck_assert_ptr_nonnull(property->help);
        ck_assert_uint_ne(property->kinds & KIND_BOTH, 0);
        ck_assert_int_ne((int)property->group, GROUP_NONE);
        ck_assert_int_eq(property->group == GROUP_STATE,
                         property->access == ACCESS_READ && _i != PROP_PASSWORD_SOURCE);
        if (property->excludes)
                ck_assert_int_eq((int)properties[property->excludes].excludes, _i);
        ck_assert_int_eq(property->type == TYPE_WORD, property->words != NULL);
        if (property->access == ACCESS_READ)
                return;
        ck_assert(property->type != TYPE_OBJECT && property->type != TYPE_TIME);
        if (property->type == TYPE_INT)
                ck_assert(property->min <= property->number && property->number <= property->max);
        if (property->type == TYPE_TEXT || property->type == TYPE_ADDRESS || property->type == TYPE_URL)
                ck_assert_int_gt(property->max, 0);
        if (property->type == TYPE_WORD && property->text) {
                size_t i = 0;
                while (property->words[i] && !same_text(property->words[i], property->text))
                        i++;
                ck_assert_ptr_nonnull(property->words[i]);
        }
}
END_TEST

static char *described(enum account_kind kind, enum property_id id)
{
        json_t *list = properties_description(kind), *row;
        size_t index;
        char *text = NULL;

        json_array_foreach(list, index, row)
                if (same_text(json_string_value(json_object_get(row, "name")), properties[id].name))
                        text = json_dumps(row, JSON_COMPACT);
        json_decref(list);
        return text;
}

/* Whatever is in the table comes along, as this kind of account has it. */
START_TEST(the_table_describes_itself)
{
        static const struct {
                enum account_kind kind;
                enum property_id id;
                const char *start; /* of its description, between name and help; NULL: it has none */
        } cases[] = {
                { KIND_OUTGOING, PROP_TRANSPORT,
                  "\"type\":\"word\",\"group\":\"server\",\"access\":\"write\",\"required\":true,\"default\":"
                  "\"smtp\","
                  "\"words\":[\"smtp\"]," },
                { KIND_INCOMING, PROP_TRANSPORT,
                  "\"type\":\"word\",\"group\":\"server\",\"access\":\"write\",\"required\":true,\"default\":"
                  "null,"
                  "\"words\":[\"imap\",\"pop3\"]," },
                { KIND_INCOMING, PROP_POLL_RATE,
                  "\"type\":\"int\",\"group\":\"server\",\"access\":\"write\",\"required\":false,\"default\":"
                  "60,\"min\":1,"
                  "\"max\":2678400,\"unit\":\"seconds\"," },
                { KIND_OUTGOING, PROP_POLL_RATE,
                  "\"type\":\"int\",\"group\":\"server\",\"access\":\"write\",\"required\":false,\"default\":"
                  "0,\"min\":0,"
                  "\"max\":2678400,\"unit\":\"seconds\"," },
                { KIND_OUTGOING, PROP_USE_SSL,
                  "\"type\":\"bool\",\"group\":\"security\",\"access\":\"write\",\"required\":false,"
                  "\"default\":true,"
                  "\"excludes\":\"useStartTls\"," },
                { KIND_OUTGOING, PROP_FROM,
                  "\"type\":\"address\",\"group\":\"sending\",\"access\":\"write\",\"required\":false,"
                  "\"default\":\"\","
                  "\"maxBytes\":320," },
                { KIND_INCOMING, PROP_NUMBER_RECEIVED,
                  "\"type\":\"int\",\"group\":\"state\",\"access\":\"read\",\"required\":false,\"default\":"
                  "null," },
                { KIND_OUTGOING, PROP_PUSH, NULL },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                char *text = described(cases[i].kind, cases[i].id);
                ck_assert_int_eq(text == NULL, cases[i].start == NULL);
                if (!text)
                        continue;
                const char *start = strstr(text, "\"type\"");
                ck_assert_msg(start && strncmp(start, cases[i].start, strlen(cases[i].start)) == 0, "%s",
                              text);
                free(text);
        }
        for (int id = 0; id < PROPERTIES; id++)
                for (unsigned kind = KIND_OUTGOING; kind <= KIND_INCOMING; kind++) {
                        char *text = described((enum account_kind)kind, (enum property_id)id);
                        ck_assert_int_eq(text != NULL, (properties[id].kinds & kind) != 0);
                        free(text);
                }
}
END_TEST

START_TEST(received_mail_is_kept)
{
        static const struct {
                const char *value;
                int64_t seconds, count; /* both 0: refused */
        } cases[] = {
                { "\"30d\"", 30 * 86400, 0 },
                { "\"12h\"", 12 * 3600, 0 },
                { "\"5000\"", 0, 5000 },
                { "5000", 0, 5000 },
                { "\"0\"", 0, 0 },
                { "\"-1\"", 0, 0 },
                { "0", 0, 0 },
                { "\"30 parsecs\"", 0, 0 },
                { "\"d\"", 0, 0 },
                { "true", 0, 0 },
                { "\"99999999999999999999\"", 0, 0 },
        };
        struct property_values values;
        struct causes problems = { 0 };
        int64_t seconds, count;

        account_of(&values, KIND_INCOMING, "{}");
        ck_assert_str_eq(prop_text(&values, PROP_KEEP_RECEIVED), "");
        for (size_t i = 0; i < count_of(cases); i++) {
                json_t *value = json_of(cases[i].value);
                bool good = cases[i].seconds || cases[i].count;
                ck_assert_int_eq(property_set(&values, &properties[PROP_KEEP_RECEIVED], value, &problems),
                                 good ? 0 : -1);
                json_decref(value);
                if (!good)
                        continue;
                ck_assert_int_eq(
                        properties_kept(prop_text(&values, PROP_KEEP_RECEIVED), &seconds, &count, NULL), 0);
                ck_assert(seconds == cases[i].seconds && count == cases[i].count);
        }
        causes_free(&problems);
        properties_done(&values);
}
END_TEST

START_TEST(defaults_of_both_kinds)
{
        struct property_values out, in;
        char *text;

        account_of(&out, KIND_OUTGOING, "{\"hostname\":\"mail.example\"}");
        account_of(&in, KIND_INCOMING, "{\"hostname\":\"mail.example\",\"transport\":\"imap\"}");
        json_t *object = properties_json(&out, true);
        text = json_dumps(object, JSON_COMPACT);
        ck_assert_str_eq(text, "{\"name\":\"a\",\"kind\":\"outgoing\",\"hostname\":\"mail.example\"}");
        free(text);
        json_decref(object);
        object = properties_json(&in, false);
        text = json_dumps(object, JSON_COMPACT);
        ck_assert_str_eq(
                text,
                "{\"name\":\"a\",\"kind\":\"incoming\",\"enabled\":true,\"transport\":\"imap\","
                "\"hostname\":\"mail.example\",\"port\":\"auto\",\"useSsl\":true,\"useStartTls\":false,"
                "\"minTlsVersion\":\"1.2\",\"allowLegacyRenegotiation\":false,\"account\":\"\","
                "\"authentication\":\"auto\","
                "\"allowPlaintextAuthentication\":false,\"connectionTimeout\":30,\"debug\":false,"
                "\"pollRate\":60,\"push\":true,\"folder\":\"INBOX\",\"deliveryPolicy\":\"markAsRead\","
                "\"fetch\":\"all\",\"maxMessageSize\":52428800,\"deliverTo\":\"maildir\","
                "\"deliverToAddress\":\"\",\"deliverTimeout\":60,\"fileInto\":\"\",\"keepReceived\":\"\","
                "\"oauthProvider\":\"\",\"oauthGrant\":\"\","
                "\"oauthClientId\":\"\",\"oauthTenant\":\"\",\"oauthScope\":\"\",\"oauthTokenEndpoint\":\"\","
                "\"oauthDeviceEndpoint\":\"\",\"clientCertificate\":\"\"}");
        free(text);
        json_decref(object);
        ck_assert_int_eq(prop_number(&out, PROP_POLL_RATE), 0);
        ck_assert_int_eq(prop_number(&out, PROP_MAX_CONNECTIONS), 20);
        ck_assert_int_eq(prop_number(&out, PROP_MAX_QUEUE_SIZE), 100000);
        ck_assert_int_eq(prop_number(&out, PROP_QUEUE_LIFETIME), 432000);
        ck_assert(prop_is(&out, WORD_SMTP));
        ck_assert_int_eq(properties_min_tls(&in), 12);
        ck_assert_uint_eq(port_in_use(&in), 993);
        ck_assert_uint_eq(port_in_use(&out), 465);
        properties_done(&in);
        properties_done(&out);
}
END_TEST

/* A word of the enum is the word of the table, and there are no others. */
/* Thousands of accounts have them. */
START_TEST(defaults_are_in_memory_once)
{
        struct property_values one, other;
        struct causes problems = { 0 };

        properties_defaults(&one, KIND_INCOMING);
        properties_copy(&other, &one);
        prop_put_text(&other, PROP_FOLDER, "Archive");
        ck_assert_str_eq(prop_text(&one, PROP_FOLDER), "INBOX");
        ck_assert_str_eq(prop_text(&other, PROP_FOLDER), "Archive");
        json_t *usual = json_string("INBOX");
        ck_assert_int_eq(property_set(&other, &properties[PROP_FOLDER], usual, &problems), 0);
        json_decref(usual);
        prop_put_text(&other, PROP_DELIVER_TO, prop_text(&other, PROP_DELIVER_TO));
        for (size_t i = 0; i < PROPERTIES_KEPT; i++)
                ck_assert_ptr_eq(other.of[i].text, one.of[i].text);
        prop_put_text(&other, PROP_FOLDER, NULL);
        ck_assert_str_eq(prop_text(&other, PROP_FOLDER), "");
        properties_done(&other);
        ck_assert_str_eq(prop_text(&one, PROP_FOLDER), "INBOX");
        properties_done(&one);
}
END_TEST

START_TEST(words_are_those_of_the_table)
{
        static const struct {
                enum property_word last;
                const char *word;
        } cases[] = {
                { WORD_POP3, "pop3" },
                { WORD_TLS_1_3, "1.3" },
                { WORD_EXTERNAL, "external" },
                { WORD_DELETE, "delete" },
                { WORD_ALL, "all" },
                { WORD_CUSTOM, "custom" },
                { WORD_JWT_BEARER, "jwtBearer" },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                const struct property *property = &properties[cases[i].last >> 8];
                size_t place = cases[i].last & 0xff;
                ck_assert_int_eq(property->type, TYPE_WORD);
                for (size_t k = 0; k <= place; k++)
                        ck_assert_ptr_nonnull(property->words[k]);
                ck_assert_str_eq(property->words[place], cases[i].word);
                ck_assert_ptr_null(property->words[place + 1]);
        }
}
END_TEST

START_TEST(what_a_port_means)
{
        static const struct {
                uint16_t port;
                const char *transport, *security;
        } cases[] = {
                { 25, "smtp", "starttls" },  { 587, "smtp", "starttls" }, { 465, "smtp", "ssl" },
                { 143, "imap", "starttls" }, { 993, "imap", "ssl" },      { 110, "pop3", "starttls" },
                { 995, "pop3", "ssl" },      { 2525, NULL, NULL },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                const char *transport = NULL, *security = NULL;
                ck_assert_int_eq(port_means(cases[i].port, &transport, &security),
                                 cases[i].transport != NULL);
                ck_assert(same_text(transport, cases[i].transport) || (!transport && !cases[i].transport));
                ck_assert(same_text(security, cases[i].security) || (!security && !cases[i].security));
        }
}
END_TEST

/* One value for one property: what is then in the JSON, or NULL when it is refused. */
static const struct {
        enum account_kind kind;
        enum property_id id;
        const char *value, *then;
} values_in[] = {
        { KIND_OUTGOING, PROP_USE_SSL, "false", "false" },
        { KIND_OUTGOING, PROP_USE_SSL, "\"no\"", "false" },
        { KIND_OUTGOING, PROP_USE_STARTTLS, "\"Yes\"", "true" },
        { KIND_OUTGOING, PROP_DEBUG, "\"on\"", "true" },
        { KIND_OUTGOING, PROP_DEBUG, "1", NULL },
        { KIND_OUTGOING, PROP_DEBUG, "\"maybe\"", NULL },
        { KIND_OUTGOING, PROP_DEBUG, "null", NULL },
        { KIND_OUTGOING, PROP_PORT, "25", "25" },
        { KIND_OUTGOING, PROP_COMMAND_TIMEOUT, "\"1m\"", "60" },
        { KIND_INCOMING, PROP_COMMAND_TIMEOUT, "60", NULL },
        { KIND_OUTGOING, PROP_PORT, "\"2525\"", "2525" },
        { KIND_OUTGOING, PROP_PORT, "\"auto\"", "\"auto\"" },
        { KIND_OUTGOING, PROP_PORT, "0", NULL },
        { KIND_OUTGOING, PROP_PORT, "\"0\"", NULL },
        { KIND_OUTGOING, PROP_PORT, "65536", NULL },
        { KIND_OUTGOING, PROP_PORT, "-1", NULL },
        { KIND_OUTGOING, PROP_PORT, "25.0", NULL },
        { KIND_OUTGOING, PROP_PORT, "\"smtp\"", NULL },
        { KIND_OUTGOING, PROP_PORT, "true", NULL },
        { KIND_OUTGOING, PROP_QUEUE_LIFETIME, "\"30d\"", "2592000" },
        { KIND_OUTGOING, PROP_QUEUE_LIFETIME, "3600", "3600" },
        { KIND_OUTGOING, PROP_QUEUE_LIFETIME, "\"30 d\"", NULL },
        { KIND_OUTGOING, PROP_CONNECTION_TIMEOUT, "0", NULL },
        { KIND_OUTGOING, PROP_CONNECTION_TIMEOUT, "\"1h\"", "3600" },
        { KIND_OUTGOING, PROP_CONNECTION_TIMEOUT, "3601", NULL },
        { KIND_OUTGOING, PROP_MAX_CONNECTIONS, "64", "64" },
        { KIND_OUTGOING, PROP_MAX_CONNECTIONS, "65", NULL },
        { KIND_OUTGOING, PROP_MAX_CONNECTIONS, "\"4m\"", NULL },
        { KIND_OUTGOING, PROP_POLL_RATE, "0", "0" },
        { KIND_INCOMING, PROP_POLL_RATE, "0", NULL },
        { KIND_INCOMING, PROP_POLL_RATE, "1", "1" },
        { KIND_INCOMING, PROP_MAX_MESSAGE_SIZE, "\"64K\"", "65536" },
        { KIND_INCOMING, PROP_MAX_MESSAGE_SIZE, "\"99999999T\"", NULL },
        { KIND_INCOMING, PROP_MAX_CONNECTIONS, "2", NULL },
        { KIND_OUTGOING, PROP_FOLDER, "\"INBOX\"", NULL },
        { KIND_INCOMING, PROP_FOLDER, "\"\"", NULL },
        { KIND_INCOMING, PROP_FOLDER, "\" , ,\"", NULL },
        { KIND_INCOMING, PROP_FOLDER, "\"a\\nb\"", NULL },
        { KIND_INCOMING, PROP_FOLDER, "\"inBox\"", "\"INBOX\"" },
        { KIND_INCOMING, PROP_FOLDER, "\"INBOX,,\"", "\"INBOX\"" },
        { KIND_INCOMING, PROP_FOLDER, "\" x y ,INBOX, x y,inbox,A,a,inbox/x\"", "\"x y,INBOX,A,a,inbox/x\"" },
        { KIND_OUTGOING, PROP_MIN_TLS_VERSION, "\"1.0\"", "\"1.0\"" },
        { KIND_OUTGOING, PROP_MIN_TLS_VERSION, "1.2", NULL },
        { KIND_OUTGOING, PROP_MIN_TLS_VERSION, "\"ssl3\"", NULL },
        { KIND_OUTGOING, PROP_MIN_TLS_VERSION, "\"\"", NULL },
        { KIND_OUTGOING, PROP_HOSTNAME, "\"Mail.Example.\"", "\"mail.example\"" },
        { KIND_OUTGOING, PROP_HOSTNAME, "\"[::1]\"", "\"::1\"" },
        { KIND_OUTGOING, PROP_HOSTNAME, "\"\"", NULL },
        { KIND_OUTGOING, PROP_HOSTNAME, "\"a b\"", NULL },
        { KIND_OUTGOING, PROP_HOSTNAME, "\"a:25\"", NULL },
        { KIND_OUTGOING, PROP_ACCOUNT, "\"user\"", "\"user\"" },
        { KIND_OUTGOING, PROP_ACCOUNT, "\"\"", "\"\"" },
        { KIND_OUTGOING, PROP_ACCOUNT, "\"user\\r\\nQUIT\"", NULL },
        { KIND_OUTGOING, PROP_ACCOUNT, "5", NULL },
        { KIND_OUTGOING, PROP_FROM, "\"a@b.example\"", "\"a@b.example\"" },
        { KIND_OUTGOING, PROP_FROM, "\"\"", "\"\"" },
        { KIND_OUTGOING, PROP_FROM, "\"a\"", NULL },
        { KIND_OUTGOING, PROP_NOTIFY_FAILED, "\"postmaster@b.example\"", "\"postmaster@b.example\"" },
        { KIND_OUTGOING, PROP_OAUTH_TOKEN_ENDPOINT, "\"https://b.example/token?x=1\"",
          "\"https://b.example/token?x=1\"" },
        { KIND_OUTGOING, PROP_OAUTH_TOKEN_ENDPOINT, "\"https://[::1]:8443\"", "\"https://[::1]:8443\"" },
        { KIND_OUTGOING, PROP_OAUTH_TOKEN_ENDPOINT, "\"\"", "\"\"" },
        { KIND_OUTGOING, PROP_OAUTH_TOKEN_ENDPOINT, "\"http://b.example\"", NULL },
        { KIND_OUTGOING, PROP_OAUTH_TOKEN_ENDPOINT, "\"https://u@b.example/\"", NULL },
        { KIND_OUTGOING, PROP_OAUTH_TOKEN_ENDPOINT, "\"https:///x\"", NULL },
        { KIND_OUTGOING, PROP_OAUTH_TOKEN_ENDPOINT, "\"https://b.example/a b\"", NULL },
        { KIND_OUTGOING, PROP_OAUTH_PROVIDER, "\"\"", "\"\"" },
        { KIND_OUTGOING, PROP_OAUTH_PROVIDER, "\"yahoo\"", NULL },
        { KIND_OUTGOING, PROP_AUTHENTICATION, "\"scram-sha-256\"", "\"scram-sha-256\"" },
        { KIND_OUTGOING, PROP_AUTHENTICATION, "\"SCRAM-SHA-256\"", NULL },
        { KIND_INCOMING, PROP_DELIVERY_POLICY, "\"delete\"", "\"delete\"" },
        { KIND_INCOMING, PROP_FETCH, "\"newest\"", NULL },
        { KIND_OUTGOING, PROP_NAME, "\"../etc\"", NULL },
        { KIND_OUTGOING, PROP_NAME, "\"\"", NULL },
        { KIND_OUTGOING, PROP_TLS, "{}", NULL },
        { KIND_OUTGOING, PROP_LAST_DISCARD, "\"2026-11-23\"", NULL },
};

START_TEST(values_are_taken_or_refused)
{
        struct property_values values;
        struct causes problems = { 0 };
        const struct property *property = &properties[values_in[_i].id];
        json_t *value = json_of(values_in[_i].value);

        properties_defaults(&values, values_in[_i].kind);
        json_t *before = properties_json(&values, false);
        int result = property_set(&values, property, value, &problems);
        json_t *after = properties_json(&values, false);
        if (values_in[_i].then) {
                ck_assert_msg(result == 0, "%s", result ? problems.items[0].text : "");
                json_t *then = json_of(values_in[_i].then);
                ck_assert(json_equal(json_object_get(after, property->name), then));
                json_decref(then);
        } else {
                ck_assert_int_eq(result, -1);
                ck_assert_uint_eq(problems.count, 1);
                ck_assert_str_eq(problems.items[0].property, property->name);
                ck_assert_int_eq((int)problems.items[0].code, CAUSE_INVALID);
                ck_assert(json_equal(before, after));
        }
        json_decref(before);
        json_decref(after);
        json_decref(value);
        causes_free(&problems);
        properties_done(&values);
}
END_TEST

START_TEST(long_texts_are_refused)
{
        struct property_values values;
        struct causes problems = { 0 };
        enum {
                LONGEST = LIMIT_FOLDERS_TEXT > LIMIT_PROPERTY_TEXT ? LIMIT_FOLDERS_TEXT : LIMIT_PROPERTY_TEXT
        };
        char *text = new_zeroed(LONGEST + 2, 1);

        properties_defaults(&values, KIND_INCOMING);
        memset(text, 'a', LONGEST + 1);
        for (size_t i = 0; i < PROPERTIES; i++) {
                if (properties[i].type == TYPE_BOOL || !(properties[i].kinds & KIND_INCOMING))
                        continue;
                json_t *value = json_string(text);
                ck_assert_msg(property_set(&values, &properties[i], value, &problems) == -1, "%s",
                              properties[i].name);
                json_decref(value);
        }
        free(text);
        causes_free(&problems);
        properties_done(&values);
}
END_TEST

START_TEST(every_bad_property_at_once)
{
        struct property_values values;
        struct causes problems = { 0 };
        static const char *const named[] = { "usessl", "port", "name",           "kind",
                                             "status", "push", "passwordSource", "xyzzy" };
        json_t *object = json_of("{\"usessl\":true,\"port\":70000,\"name\":\"b\",\"kind\":\"incoming\","
                                 "\"status\":\"ok\",\"push\":true,\"passwordSource\":\"none\",\"xyzzy\":1}");

        account_of(&values, KIND_OUTGOING, "{}");
        ck_assert_int_eq(properties_apply(&values, object, &problems), -1);
        ck_assert_uint_eq(problems.count, count_of(named));
        for (size_t i = 0; i < count_of(named); i++) {
                size_t k = 0;
                while (k < problems.count && !same_text(problems.items[k].property, named[i]))
                        k++;
                ck_assert_msg(k < problems.count, "%s", named[i]);
                ck_assert_int_eq((int)problems.items[k].code, CAUSE_INVALID);
                if (i == 0)
                        ck_assert_str_eq(problems.items[k].remedy, "did you mean useSsl?");
        }
        json_decref(object);
        causes_free(&problems);
        object = json_of("{\"name\":\"a\",\"kind\":\"outgoing\"}");
        ck_assert_int_eq(properties_apply(&values, object, &problems), 0); /* the same is no change */
        json_decref(object);
        object = json_of("[]");
        ck_assert_int_eq(properties_apply(&values, object, &problems), -1);
        json_decref(object);
        causes_free(&problems);
        properties_done(&values);
}
END_TEST

/* From one state by a request: NULL when the rules are kept, else the code and words that must come. */
static const struct {
        enum account_kind kind;
        const char *before, *request; /* before NULL: a new account */
        enum cause_code code;
        const char *property, *says, *remedy;
} rules[] = {
        { KIND_OUTGOING, NULL, "{\"hostname\":\"h\"}", CAUSE_NONE, NULL, NULL, NULL },
        { KIND_OUTGOING, NULL, "{}", CAUSE_INVALID, "hostname", "is missing", "hostname=" },
        { KIND_INCOMING, NULL, "{\"hostname\":\"h\"}", CAUSE_INVALID, "transport", "is missing", NULL },
        { KIND_INCOMING, NULL, "{\"hostname\":\"h\",\"transport\":\"smtp\"}", CAUSE_INVALID, "transport",
          "imap or pop3", NULL },
        { KIND_OUTGOING, NULL, "{\"hostname\":\"h\",\"transport\":\"imap\"}", CAUSE_INVALID, "transport",
          "smtp", NULL },
        { KIND_INCOMING, NULL, "{\"hostname\":\"h\",\"transport\":\"pop3\"}", CAUSE_NONE, NULL, NULL, NULL },
        { KIND_OUTGOING, NULL, "{\"hostname\":\"h\",\"port\":2525,\"useSsl\":false}", CAUSE_NONE, NULL, NULL,
          NULL },
        { KIND_OUTGOING, NULL, "{\"hostname\":\"h\",\"useStartTls\":true}", CAUSE_INVALID, "useStartTls",
          "exclude each other", "useSsl=false" },
        { KIND_OUTGOING, NULL, "{\"hostname\":\"h\",\"useStartTls\":true,\"useSsl\":false}", CAUSE_NONE, NULL,
          NULL, NULL },
        { KIND_OUTGOING, "{\"useSsl\":false,\"useStartTls\":true}", "{\"useSsl\":true}", CAUSE_INVALID,
          "useSsl", "exclude each other", "emailsecctl account secure a " },
        { KIND_OUTGOING, "{\"useSsl\":false,\"useStartTls\":true,\"port\":587}", "{\"useSsl\":true}",
          CAUSE_INVALID, "useSsl", "exclude each other", NULL },
        { KIND_OUTGOING, "{\"useSsl\":false,\"useStartTls\":true}", "{\"useSsl\":true,\"useStartTls\":false}",
          CAUSE_NONE, NULL, NULL, NULL },
        { KIND_OUTGOING, "{}", "{\"useSsl\":false}", CAUSE_NONE, NULL, NULL, NULL }, /* port is auto */
        { KIND_OUTGOING, "{\"port\":465}", "{\"useSsl\":false}", CAUSE_PORT_REQUIRED, "port",
          "port is 465 now; without TLS the usual port is 25", NULL },
        { KIND_OUTGOING, "{\"port\":465}", "{\"useSsl\":false,\"useStartTls\":true}", CAUSE_PORT_REQUIRED,
          "port", "with useStartTls the usual port is 587: say port=587, another number, or port=auto",
          NULL },
        { KIND_OUTGOING, "{\"port\":465}", "{\"useSsl\":false,\"port\":25}", CAUSE_NONE, NULL, NULL, NULL },
        { KIND_OUTGOING, "{\"port\":465}", "{\"useSsl\":false,\"port\":465}", CAUSE_NONE, NULL, NULL, NULL },
        { KIND_OUTGOING, "{\"port\":465}", "{\"useSsl\":false,\"port\":\"auto\"}", CAUSE_NONE, NULL, NULL,
          NULL },
        { KIND_OUTGOING, "{\"port\":465}", "{\"useSsl\":true}", CAUSE_NONE, NULL, NULL,
          NULL }, /* no change */
        { KIND_OUTGOING, "{\"port\":465}", "{\"hostname\":\"other\"}", CAUSE_NONE, NULL, NULL, NULL },
        { KIND_OUTGOING, "{}", "{\"authentication\":\"xoauth2\"}", CAUSE_INVALID, "account", "is needed",
          NULL },
        { KIND_OUTGOING, "{}", "{\"authentication\":\"xoauth2\",\"account\":\"u\"}", CAUSE_NONE, NULL, NULL,
          NULL },
        { KIND_OUTGOING, "{}",
          "{\"authentication\":\"oauthbearer\",\"account\":\"u\",\"oauthProvider\":\"google\",\"oauthGrant\":"
          "\"device\"}",
          CAUSE_INVALID, "oauthClientId", "is needed", NULL },
        { KIND_OUTGOING, "{}",
          "{\"authentication\":\"oauthbearer\",\"account\":\"u\",\"oauthProvider\":\"custom\",\"oauthGrant\":"
          "\"device\",\"oauthClientId\":\"i\",\"oauthTokenEndpoint\":\"https://h/\"}",
          CAUSE_INVALID, "oauthDeviceEndpoint", "is needed", NULL },
        { KIND_OUTGOING, "{}", "{\"authentication\":\"external\"}", CAUSE_INVALID, "clientCertificate",
          "is needed", NULL },
        { KIND_OUTGOING, "{}",
          "{\"authentication\":\"external\",\"clientCertificate\":\"c\",\"useSsl\":false}", CAUSE_INVALID,
          "authentication", "needs TLS", NULL },
};

START_TEST(rules_between_properties)
{
        struct property_values old, values;
        struct causes problems = { 0 };
        json_t *request = json_of(rules[_i].request);
        bool is_new = !rules[_i].before;

        account_of(&old, rules[_i].kind, is_new ? "{}" : rules[_i].before);
        if (!is_new) {
                json_t *host = json_string("h");
                ck_assert_int_eq(property_set(&old, &properties[PROP_HOSTNAME], host, &problems), 0);
                json_decref(host);
        }
        properties_copy(&values, &old);
        ck_assert_int_eq(properties_apply(&values, request, &problems), 0);
        int result = properties_check(&values, is_new ? NULL : &old, request, &problems);
        ck_assert_int_eq(result, rules[_i].code == CAUSE_NONE ? 0 : -1);
        ck_assert_uint_eq(problems.count, rules[_i].code == CAUSE_NONE ? 0 : 1);
        if (result < 0) {
                const struct cause *problem = &problems.items[0];
                ck_assert_int_eq((int)problem->code, (int)rules[_i].code);
                ck_assert_str_eq(problem->property, rules[_i].property);
                ck_assert_msg(strstr(problem->text, rules[_i].says) != NULL, "%s", problem->text);
                if (rules[_i].remedy)
                        ck_assert_msg(strstr(problem->remedy, rules[_i].remedy) != NULL, "%s",
                                      problem->remedy);
        }
        json_decref(request);
        causes_free(&problems);
        properties_done(&values);
        properties_done(&old);
}
END_TEST

START_TEST(ports_of_the_table)
{
        static const struct {
                const char *transport;
                uint16_t neither, starttls, ssl;
        } cases[] = { { "smtp", 25, 587, 465 },
                      { "imap", 143, 143, 993 },
                      { "pop3", 110, 110, 995 },
                      { "", 0, 0, 0 } };

        for (size_t i = 0; i < count_of(cases); i++) {
                ck_assert_uint_eq(port_of_table(cases[i].transport, false, false), cases[i].neither);
                ck_assert_uint_eq(port_of_table(cases[i].transport, false, true), cases[i].starttls);
                ck_assert_uint_eq(port_of_table(cases[i].transport, true, false), cases[i].ssl);
        }
        struct property_values values;
        account_of(&values, KIND_OUTGOING, "{\"port\":2525,\"minTlsVersion\":\"1.3\"}");
        ck_assert_uint_eq(port_in_use(&values), 2525);
        ck_assert_int_eq(properties_min_tls(&values), 13);
        properties_done(&values);
}
END_TEST

static const struct {
        enum account_kind kind;
        const char *request;
        const char *says[3];
} warned[] = {
        { KIND_OUTGOING, "{}", { NULL } },
        { KIND_OUTGOING, "{\"port\":465}", { NULL } },
        { KIND_OUTGOING,
          "{\"port\":2525}",
          { "port 2525 is unusual: the usual port for smtp with useSsl is 465", NULL } },
        { KIND_OUTGOING,
          "{\"useSsl\":false,\"allowPlaintextAuthentication\":true}",
          { "no TLS", "sent over the network in clear", NULL } },
        { KIND_OUTGOING,
          "{\"allowPlaintextAuthentication\":true}",
          { "allowPlaintextAuthentication", NULL } },
        { KIND_OUTGOING,
          "{\"minTlsVersion\":\"1.1\",\"debug\":true}",
          { "minTlsVersion 1.1", "debug", NULL } },
        { KIND_OUTGOING, "{\"allowLegacyRenegotiation\":true}", { "allowLegacyRenegotiation", NULL } },
        { KIND_INCOMING,
          "{\"transport\":\"imap\",\"deliveryPolicy\":\"delete\"}",
          { "deleted at the server", NULL } },
};

START_TEST(warnings)
{
        struct property_values values;
        size_t expected = 0;

        account_of(&values, warned[_i].kind, warned[_i].request);
        json_t *list = properties_warnings(&values);
        for (; warned[_i].says[expected]; expected++) {
                const char *sentence = json_string_value(json_array_get(list, expected));
                ck_assert_msg(sentence && strstr(sentence, warned[_i].says[expected]), "%s", sentence);
        }
        ck_assert_uint_eq(json_array_size(list), expected);
        json_decref(list);
        properties_done(&values);
}
END_TEST

START_TEST(json_there_and_back)
{
        struct property_values values, back;
        struct causes problems = { 0 };

        account_of(&values, KIND_INCOMING,
                   "{\"hostname\":\"h\",\"transport\":\"pop3\",\"port\":1995,\"pollRate\":\"5m\",\"useSsl\":"
                   "false,"
                   "\"useStartTls\":true,\"account\":\"u\",\"folder\":\"A\"}");
        json_t *stored = properties_json(&values, true), *all = properties_json(&values, false);
        ck_assert_uint_eq(json_object_size(stored), 10);
        account_of(&back, KIND_INCOMING, "{}");
        ck_assert_int_eq(properties_apply(&back, stored, &problems), 0);
        json_t *again = properties_json(&back, false);
        ck_assert(json_equal(all, again));
        json_decref(stored);
        json_decref(all);
        json_decref(again);
        properties_done(&values);
        properties_done(&back);
}
END_TEST

/* A second row of a name would never be read. */
START_TEST(a_name_of_others_stands_once)
{
        for (size_t i = 0; i < count_of(names_elsewhere); i++)
                for (size_t j = 0; j < i; j++)
                        ck_assert_msg(!same_letters(names_elsewhere[i].name, names_elsewhere[j].name), "%s",
                                      names_elsewhere[i].name);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("properties");
        TCase *tc = tcase_create("properties");

        tcase_add_loop_test(tc, every_row_is_whole, 0, PROPERTIES);
        tcase_add_test(tc, the_table_describes_itself);
        tcase_add_test(tc, a_name_of_others_stands_once);
        tcase_add_test(tc, received_mail_is_kept);
        tcase_add_test(tc, defaults_of_both_kinds);
        tcase_add_test(tc, defaults_are_in_memory_once);
        tcase_add_test(tc, words_are_those_of_the_table);
        tcase_add_test(tc, what_a_port_means);
        tcase_add_loop_test(tc, values_are_taken_or_refused, 0, (int)count_of(values_in));
        tcase_add_test(tc, long_texts_are_refused);
        tcase_add_test(tc, every_bad_property_at_once);
        tcase_add_loop_test(tc, rules_between_properties, 0, (int)count_of(rules));
        tcase_add_test(tc, ports_of_the_table);
        tcase_add_loop_test(tc, warnings, 0, (int)count_of(warned));
        tcase_add_test(tc, json_there_and_back);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
