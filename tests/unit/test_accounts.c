/* SPDX-License-Identifier: MIT */
/*
 * The set of accounts on a real state folder: what is on disk when an answer comes, changes in a row, files
 * that cannot be read, making the station match a document. What the station does with them is counted, not
 * done.
 */
#include "daemon/accounts/accounts.h"
#include "daemon/settings.h"

static struct settings settings;
static unsigned added, changed, removed;

static void count_added(struct account *account)
{
        (void)account;
        added++;
}
static void count_changed(struct account *account)
{
        account_start_over(account);
        changed++;
}
static void count_removed(struct account *account)
{
        removed++;
        account_hold(account);
        account->deleted = true;
        account_release(account);
}
static void count_status(struct account *account)
{
        (void)account;
}
static const struct account_observer observer = { count_added, count_changed, count_removed, count_status };
#include "common/mailboxes.h"
#include "daemon/accounts/account_change.c"
#include "daemon/accounts/accounts.c"
#include "daemon/accounts/apply.c"
#include "daemon/accounts/round.h"
#include "daemon/outgoing/submit.c"
#include "daemon/store/disk.h"
#include "daemon/store/kept.h"

#include "state_folder.h"

/* ---- asking and waiting ---- */

struct answer {
        bool come;
        struct account *account;
        struct causes problems;
        json_t *changes, *differences;
        unsigned applied; /* accounts told of by an apply */
        uint64_t unsent;
};

static unsigned awaited;

static void come(struct answer *answer, const struct causes *problems)
{
        ck_assert(!answer->come); /* exactly once */
        answer->come = true;
        for (size_t i = 0; i < problems->count; i++)
                *causes_add(&answer->problems) = problems->items[i];
        if (awaited && --awaited == 0)
                loop_end();
}

static void account_came(void *ctx, struct account *account, const struct account_changed *what,
                         const struct causes *problems)
{
        struct answer *answer = ctx;

        answer->unsent = what->unsent;
        json_decref(answer->differences);
        answer->differences = json_deep_copy(what->differences);

        ck_assert((account != NULL) == (problems->count == 0));
        answer->account = account;
        come(answer, problems);
}

static void count_applied(void *ctx, const char *name, bool is_new, const json_t *differences)
{
        struct answer *answer = ctx;

        ck_assert(!answer->come);
        ck_assert(name[0] && json_array_size(differences));
        ck_assert(!is_new || account_name_taken(name) || store_closing());
        answer->applied++;
}

static void changes_came(void *ctx, json_t *changes, const struct causes *problems)
{
        struct answer *answer = ctx;

        answer->changes = json_incref(changes);
        come(answer, problems);
}

static const struct apply_user apply_user = { count_applied, changes_came };

static void await(struct answer *answers, size_t count)
{
        awaited = 0;
        for (size_t i = 0; i < count; i++)
                awaited += !answers[i].come;
        if (awaited)
                run_until_end();
}

static void forget(struct answer *answer)
{
        causes_free(&answer->problems);
        json_decref(answer->changes);
        json_decref(answer->differences);
        *answer = (struct answer){ 0 };
}

static json_t *json(const char *text)
{
        json_error_t error;
        json_t *value = json_loads(text, JSON_DECODE_ANY, &error);

        ck_assert_msg(value != NULL, "%s: %s", text, error.text);
        return value;
}

static struct answer add(const char *name, const char *kind, const char *properties_given)
{
        struct answer answer = { 0 };
        json_t *given = json(properties_given);

        accounts_add(name, kind, given, account_came, &answer);
        json_decref(given);
        await(&answer, 1);
        return answer;
}

static void set(struct answer *answer, const char *name, const char *properties_given)
{
        json_t *given = json(properties_given);

        accounts_set(name, given, account_came, answer);
        json_decref(given);
}

/* Each problem's property, in a row. */
static void expect_problems(struct answer *answer, const char *wanted)
{
        struct buf words = BUF_WITH_MAX(4096);

        for (size_t i = 0; i < answer->problems.count; i++)
                ck_assert_int_eq(buf_appendf(&words, "%s%s", i ? " " : "",
                                             answer->problems.items[i].property[0]
                                                     ? answer->problems.items[i].property
                                                     : cause_kind(answer->problems.items[i].code)->name),
                                 0);
        scoped(scoped_free) char *text = buf_take_text(&words);
        ck_assert_msg(strcmp(text, wanted) == 0, "problems: %s; wanted: %s (%s)", text, wanted,
                      answer->problems.count ? answer->problems.items[0].text : "");
        forget(answer);
}

static json_t *file_json(const char *name)
{
        scoped(scoped_free) char *path = text_of("%s/accounts/%s.json", state_folder, name);

        return json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
}

static void open_all(void)
{
        struct cause cause = { 0 };

        added = changed = removed = 0;
        settings = (struct settings){ 0 };
        settings_put_current(&settings);
        account_observe(&observer);
        folder_open();
        events_open();
        ck_assert_msg(accounts_open(&cause) == 0, "%s", cause.text);
}

static void open_again(void)
{
        struct cause cause = { 0 };

        accounts_close();
        ck_assert_msg(accounts_open(&cause) == 0, "%s", cause.text);
}

static void close_all(void)
{
        store_close();
        loop_turn();
        accounts_close();
        events_close();
        folder_close();
}

/* ---- one change ---- */

START_TEST(an_added_one_is_on_disk_and_comes_back)
{
        struct answer answer =
                add("plant", "outgoing",
                    "{\"hostname\": \"mail.example.net\", \"maxConnections\": 7, \"port\": \"auto\"}");

        ck_assert_uint_eq(answer.problems.count, 0);
        ck_assert_ptr_eq(answer.account, account_named("plant"));
        ck_assert_uint_eq(added, 1);
        json_t *file = file_json("plant");
        ck_assert_str_eq(json_string_value(json_object_get(file, "kind")), "outgoing");
        ck_assert_int_eq(
                json_integer_value(json_object_get(json_object_get(file, "properties"), "maxConnections")),
                7);
        ck_assert_ptr_null(json_object_get(json_object_get(file, "properties"), "debug")); /* a default */
        json_decref(file);
        open_again();
        ck_assert_uint_eq(accounts_count(), 1);
        ck_assert_int_eq(prop_number(&account_named("plant")->values, PROP_MAX_CONNECTIONS), 7);
        ck_assert_str_eq(prop_text(&account_named("plant")->values, PROP_HOSTNAME), "mail.example.net");
        forget(&answer);
}
END_TEST

static const struct {
        const char *name, *kind, *given, *problems;
} bad_adds[] = {
        { "plant", "outgoing", "{}", "hostname" },
        { "plant", "sideways", "{\"hostname\": \"h.example\"}", "kind" },
        { "../plant", "outgoing", "{\"hostname\": \"h.example\"}", "name" },
        { "", "outgoing", "{\"hostname\": \"h.example\"}", "name" },
        { "plant", "incoming", "{\"hostname\": \"h.example\"}", "transport" },
        { "plant", "outgoing",
          "{\"hostname\": \"h.example\", \"numberSent\": 1, \"maxConnections\": 65, \"colour\": 1}",
          "numberSent maxConnections colour" },
        { "plant", "outgoing", "{\"hostname\": \"h.example\", \"useSsl\": true, \"useStartTls\": true}",
          "useStartTls" },
        { "taken", "incoming", "{\"hostname\": \"h.example\", \"transport\": \"pop3\"}", "name" },
};

START_TEST(a_bad_one_is_refused_whole)
{
        struct answer answer = add("taken", "outgoing", "{\"hostname\": \"h.example\"}");
        forget(&answer);
        answer = add(bad_adds[_i].name, bad_adds[_i].kind, bad_adds[_i].given);
        expect_problems(&answer, bad_adds[_i].problems);
        ck_assert_uint_eq(accounts_count(), 1);
        ck_assert_uint_eq(added, 1);
}
END_TEST

START_TEST(a_change_is_whole_or_not_at_all)
{
        struct answer answer = add("plant", "outgoing", "{\"hostname\": \"h.example\"}");
        struct account *plant = answer.account;
        unsigned generation = plant->generation;

        forget(&answer);
        set(&answer, "plant", "{\"maxConnections\": 9, \"pollRate\": \"never\", \"name\": \"other\"}");
        await(&answer, 1);
        expect_problems(&answer, "pollRate name");
        ck_assert_int_eq(prop_number(&plant->values, PROP_MAX_CONNECTIONS), 20);
        ck_assert_uint_eq(plant->generation, generation);
        set(&answer, "plant", "{\"maxConnections\": 9, \"pollRate\": 30, \"name\": \"plant\"}");
        await(&answer, 1);
        expect_problems(&answer, "");
        ck_assert_int_eq(prop_number(&plant->values, PROP_MAX_CONNECTIONS), 9);
        ck_assert_int_eq(prop_number(&plant->values, PROP_POLL_RATE), 30);
        ck_assert_uint_eq(plant->generation, generation + 1);
        ck_assert_uint_eq(changed, 1);
        set(&answer, "nobody", "{}");
        await(&answer, 1);
        expect_problems(&answer, "name");
        set(&answer, "plant", "{\"port\": 2525}");
        await(&answer, 1);
        expect_problems(&answer, "");
        set(&answer, "plant", "{\"useSsl\": false}");
        await(&answer, 1);
        ck_assert_int_eq(answer.problems.items[0].code, CAUSE_PORT_REQUIRED);
        expect_problems(&answer, "port");
        set(&answer, "plant", "{\"enabled\": false}");
        await(&answer, 1);
        expect_problems(&answer, "");
        ck_assert_int_eq(plant->status, ACCOUNT_DISABLED);
}
END_TEST

static void secret_kept(void *ctx, const struct cause *cause)
{
        (void)ctx;
        ck_assert(!cause_happened(cause));
}

START_TEST(a_deleted_one_leaves_nothing)
{
        struct answer answer = add("plant", "outgoing", "{\"hostname\": \"h.example\"}");
        forget(&answer);
        secret_set("plant", "password", "geheim", NULL, secret_kept, NULL);
        kept_set_number("plant", KEPT_NUMBER_SENT, 5);
        accounts_delete("plant", false, account_came, &answer);
        await(&answer, 1);
        expect_problems(&answer, "");
        ck_assert_uint_eq(removed, 1);
        ck_assert_ptr_null(account_named("plant"));
        ck_assert_ptr_null(file_json("plant"));
        ck_assert_int_eq(kept_number("plant", KEPT_NUMBER_SENT), 0);
        scoped(scoped_free) char *source = secret_source("plant", "password");
        ck_assert_str_eq(source, "none");
        accounts_delete("plant", false, account_came, &answer);
        await(&answer, 1);
        expect_problems(&answer, "name");
        open_again();
        ck_assert_uint_eq(accounts_count(), 0);
}
END_TEST

static void submitted(void *ctx, const char *id, bool duplicate, const struct cause *cause)
{
        (void)ctx;
        (void)id;
        (void)duplicate;
        ck_assert(!cause_happened(cause));
        loop_end();
}

START_TEST(unsent_mail_keeps_an_account)
{
        static const char message[] = "Subject: x\r\n\r\nx\r\n";
        const char *recipients[] = { "a@example.net" };
        struct submission submission = {
                .account = "plant",
                .from = "b@example.net",
                .recipients = recipients,
                .recipient_count = 1,
                .submitted_by = "root (uid 0)",
                .rules = { .hostname = "h.example", .now = loop_wall(), .max_size = 1000000 },
                .lifetime = 1000,
                .max_queue = 10,
                .fd = -1,
                .bytes = message,
                .len = sizeof message - 1,
        };
        struct answer answer = add("plant", "outgoing", "{\"hostname\": \"h.example\"}");

        forget(&answer);
        queue_submit(&submission, submitted, NULL);
        run_until_end();
        accounts_delete("plant", false, account_came, &answer);
        await(&answer, 1);
        ck_assert_int_eq(answer.problems.items[0].code, CAUSE_STATE);
        forget(&answer);
        ck_assert_ptr_nonnull(account_named("plant"));
        accounts_delete("plant", true, account_came, &answer);
        await(&answer, 1);
        ck_assert_uint_eq(answer.unsent, 1); /* who deleted it is told */
        expect_problems(&answer, "");
        ck_assert_ptr_null(account_named("plant"));
}
END_TEST

START_TEST(what_differs_is_told)
{
        struct answer answer = add("plant", "outgoing", "{\"hostname\": \"h.example\", \"port\": 2525}");
        json_t *wanted = json("[{\"property\": \"hostname\", \"from\": null, \"to\": \"h.example\"},"
                              " {\"property\": \"port\", \"from\": null, \"to\": 2525}]");

        ck_assert(json_equal(answer.differences, wanted));
        json_decref(wanted);
        forget(&answer);
        set(&answer, "plant", "{\"port\": 26, \"hostname\": \"h.example\", \"enabled\": false}");
        await(&answer, 1);
        wanted = json("[{\"property\": \"enabled\", \"from\": true, \"to\": false},"
                      " {\"property\": \"port\", \"from\": 2525, \"to\": 26}]");
        ck_assert(json_equal(answer.differences, wanted));
        json_decref(wanted);
        forget(&answer);
}
END_TEST

/* ---- several at once ---- */

START_TEST(changes_take_effect_in_the_order_they_were_asked)
{
        struct answer answers[6] = { 0 };
        json_t *given = json("{\"hostname\": \"h.example\"}");

        accounts_add("plant", "outgoing", given, account_came, &answers[0]);
        set(&answers[1], "plant", "{\"maxConnections\": 2}");
        set(&answers[2], "plant", "{\"maxConnections\": 3}");
        set(&answers[3], "plant", "{\"maxConnections\": 0}");
        accounts_add("plant", "outgoing", given, account_came, &answers[4]); /* the name is being taken */
        set(&answers[5], "plant", "{\"pollRate\": 12}");
        json_decref(given);
        await(answers, count_of(answers));
        static const char *const problems[] = { "", "", "", "maxConnections", "name", "" };
        for (size_t i = 0; i < count_of(answers); i++)
                expect_problems(&answers[i], problems[i]);
        json_t *file = file_json("plant"), *written_ones = json_object_get(file, "properties");
        ck_assert_int_eq(json_integer_value(json_object_get(written_ones, "maxConnections")), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(written_ones, "pollRate")), 12);
        json_decref(file);
}
END_TEST

START_TEST(changes_behind_a_deletion_are_refused)
{
        struct answer answers[3] = { 0 }, answer = add("plant", "outgoing", "{\"hostname\": \"h.example\"}");

        forget(&answer);
        accounts_delete("plant", false, account_came, &answers[0]);
        set(&answers[1], "plant", "{\"pollRate\": 12}");
        accounts_delete("plant", false, account_came, &answers[2]);
        await(answers, count_of(answers));
        expect_problems(&answers[0], "");
        expect_problems(&answers[1], "NotFound");
        expect_problems(&answers[2], "NotFound");
        answer = add("plant", "incoming", "{\"hostname\": \"h.example\", \"transport\": \"imap\"}");
        expect_problems(&answer, "");
}
END_TEST

/* The folder is lost: what cannot be written has not happened, and everyone who waits is answered. */
START_TEST(a_disk_that_fails_changes_nothing)
{
        struct answer answers[3] = { 0 }, answer = add("plant", "outgoing", "{\"hostname\": \"h.example\"}");
        scoped(scoped_free) char *folder = folder_path("accounts");
        scoped(scoped_free) char *away = folder_path("away");
        json_t *given = json("{\"hostname\": \"h.example\"}");

        forget(&answer);
        ck_assert_int_eq(rename(folder, away), 0);
        set(&answer, "plant", "{\"maxConnections\": 2}");
        await(&answer, 1);
        ck_assert_int_eq(answer.problems.items[0].code, CAUSE_STORAGE);
        forget(&answer);
        ck_assert_int_eq(prop_number(&account_named("plant")->values, PROP_MAX_CONNECTIONS), 20);
        accounts_add("other", "outgoing", given, account_came, &answers[0]);
        set(&answers[1], "other", "{\"maxConnections\": 2}");
        accounts_delete("other", false, account_came, &answers[2]);
        json_decref(given);
        await(answers, count_of(answers));
        expect_problems(&answers[0], "Storage");
        expect_problems(&answers[1], "NotFound");
        expect_problems(&answers[2], "NotFound");
        ck_assert_uint_eq(accounts_count(), 1);
        ck_assert_int_eq(rename(away, folder), 0);
        set(&answer, "plant", "{\"maxConnections\": 2}");
        await(&answer, 1);
        expect_problems(&answer, "");
}
END_TEST

/* ---- files ---- */

static const struct {
        const char *text, *words;
} bad_files[] = {
        { "", "damaged" },
        { "{\"version\": 1, \"name\": \"plant\"", "damaged" },
        { "[]", "is not that of the file" },
        { "{\"name\": \"other\", \"kind\": \"outgoing\", \"properties\": {\"hostname\": \"h.example\"}}",
          "is not that of the file" },
        { "{\"name\": \"plant\", \"kind\": \"outgoing\", \"properties\": {}}", "hostname is missing" },
        { "{\"name\": \"plant\", \"kind\": \"outgoing\", \"properties\": {\"hostname\": \"h.example\", "
          "\"colour\": \"red\"}}",
          "colour" },
        { "{\"name\": \"plant\", \"kind\": \"outgoing\", \"kind\": \"incoming\"}", "duplicate" },
};

START_TEST(a_bad_file_is_an_account_in_fault)
{
        struct answer answer = { 0 };

        folder_write("accounts/plant.json", bad_files[_i].text, strlen(bad_files[_i].text));
        folder_write("accounts/.plant.json.tmp", "x", 1);
        folder_write("accounts/bad name.json", "x", 1);
        open_again();
        ck_assert_uint_eq(accounts_count(), 1);
        struct account *plant = account_named("plant");
        ck_assert(plant->unreadable);
        ck_assert_int_eq(plant->status, ACCOUNT_FAULT);
        ck_assert_msg(strstr(plant->cause->text, bad_files[_i].words) != NULL, "%s", plant->cause->text);
        set(&answer, "plant", "{\"maxConnections\": 2}"); /* would overwrite what a person may still repair */
        await(&answer, 1);
        expect_problems(&answer, "Storage");
        accounts_read_again();
        ck_assert(account_named("plant")->unreadable);

        static const char good[] =
                "{\"name\": \"plant\", \"kind\": \"incoming\", \"properties\": {\"hostname\": \"h.example\", "
                "\"transport\": \"imap\"}}";
        folder_write("accounts/plant.json", good, sizeof good - 1);
        accounts_read_again();
        plant = account_named("plant");
        ck_assert(!plant->unreadable);
        ck_assert_int_eq(plant->status, ACCOUNT_CONNECTING);
        ck_assert(!account_is_outgoing(plant));
        set(&answer, "plant", "{\"folder\": \"INBOX/x\"}");
        await(&answer, 1);
        expect_problems(&answer, "");
}
END_TEST

START_TEST(an_unreadable_one_can_be_deleted)
{
        struct answer answer = { 0 };

        folder_write("accounts/plant.json", "{", 1);
        open_again();
        accounts_delete("plant", false, account_came, &answer);
        await(&answer, 1);
        expect_problems(&answer, "");
        open_again();
        ck_assert_uint_eq(accounts_count(), 0);
}
END_TEST

START_TEST(a_link_is_not_followed)
{
        scoped(scoped_free) char *path = folder_path("accounts/plant.json");

        folder_write("elsewhere", "{}", 2);
        ck_assert_int_eq(symlink("../elsewhere", path), 0);
        open_again();
        ck_assert(account_named("plant")->unreadable);
}
END_TEST

/* ---- which one is meant ---- */

START_TEST(in_order_of_name)
{
        static const char *const names[] = { "m", "b", "z", "a", "B" };
        static const char *const order[] = { "B", "a", "b", "m", "z" };

        for (size_t i = 0; i < count_of(names); i++) {
                struct answer answer = add(names[i], "outgoing", "{\"hostname\": \"h.example\"}");
                expect_problems(&answer, "");
        }
        const struct account *account = accounts_first();
        for (size_t i = 0; i < count_of(order); i++, account = account->next)
                ck_assert_str_eq(account->name, order[i]);
        ck_assert_ptr_null(account);
}
END_TEST

START_TEST(the_default_account)
{
        struct cause cause = { 0 };
        struct answer answer = { 0 };

        ck_assert_ptr_null(accounts_default(&cause));
        ck_assert_int_eq(cause.code, CAUSE_NOT_FOUND);
        answer = add("in", "incoming", "{\"hostname\": \"h.example\", \"transport\": \"imap\"}");
        expect_problems(&answer, "");
        answer = add("one", "outgoing", "{\"hostname\": \"h.example\"}");
        expect_problems(&answer, "");
        ck_assert_str_eq(accounts_default(&cause)->name, "one");
        answer = add("two", "outgoing", "{\"hostname\": \"h.example\"}");
        expect_problems(&answer, "");
        ck_assert_ptr_null(accounts_default(&cause));
        settings.default_account = (char[]){ "two" };
        ck_assert_str_eq(accounts_default(&cause)->name, "two");
        settings.default_account = (char[]){ "in" };
        ck_assert_ptr_null(accounts_default(&cause));
        settings.default_account = (char[]){ "gone" };
        ck_assert_ptr_null(accounts_default(&cause));
        ck_assert_ptr_nonnull(strstr(cause.text, "gone"));
}
END_TEST

/* sendsFor, then the default, then the only one, then a sender's own account. */
START_TEST(the_account_of_a_sender)
{
        struct cause cause = { 0 };
        struct answer answer =
                add("one", "outgoing", "{\"hostname\": \"h.example\", \"from\": \"one@example.com\"}");
        expect_problems(&answer, "");
        ck_assert_str_eq(submit_account("anybody@example.org", &cause)->name, "one");
        answer = add("two", "outgoing", "{\"hostname\": \"h.example\", \"account\": \"two@example.com\"}");
        expect_problems(&answer, "");
        ck_assert_str_eq(submit_account("One@Example.COM", &cause)->name, "one");
        ck_assert_int_eq(cause.code, CAUSE_NONE);
        ck_assert_str_eq(submit_account("two@example.com", &cause)->name, "two");
        const char *const nobodys[] = { "three@example.com", "", NULL };
        for (size_t i = 0; i < count_of(nobodys); i++) {
                ck_assert_ptr_null(submit_account(nobodys[i], &cause));
                ck_assert_int_eq(cause.code, CAUSE_NOT_FOUND);
                ck_assert_str_eq(cause.property, "account");
        }
        answer = add("list", "outgoing",
                     "{\"hostname\": \"h.example\", \"sendsFor\": \"b\303\274cher.example, @example.net "
                     ",x@example.org\"}");
        expect_problems(&answer, "");
        ck_assert_str_eq(prop_text(&account_named("list")->values, PROP_SENDS_FOR),
                         "xn--bcher-kva.example,example.net,x@example.org");
        answer = add("late", "outgoing", "{\"hostname\": \"h.example\", \"sendsFor\": \"y@example.net\"}");
        expect_problems(&answer, "");
        settings.default_account = (char[]){ "two" };
        static const struct {
                const char *sender, *account;
        } senders[] = { { "a@example.net", "list" },
                        { "A@EXAMPLE.NET", "list" },
                        { "y@example.net", "late" },
                        { "a@sub.example.net", "two" },
                        { "x@example.org", "list" },
                        { "z@example.org", "two" },
                        { "u@b\303\274cher.example", "list" },
                        { "one@example.com", "two" },
                        { "", "two" } };
        for (size_t i = 0; i < count_of(senders); i++)
                ck_assert_str_eq(submit_account(senders[i].sender, &cause)->name, senders[i].account);
        settings.default_account = (char[]){ "gone" };
        ck_assert_ptr_null(submit_account("one@example.com", &cause));
        answer = add("bad", "outgoing", "{\"hostname\": \"h.example\", \"sendsFor\": \"192.0.2.1, a@b\"}");
        expect_problems(&answer, "sendsFor");
}
END_TEST

/* What a look at each account would find. */
static const struct account *walked(const char *sender)
{
        const struct account *named = NULL, *own = NULL;
        int best = 0;

        for (const struct account *account = accounts_first(); account; account = account->next) {
                int fits = account_is_outgoing(account)
                                   ? sender_list_has(prop_text(&account->values, PROP_SENDS_FOR), sender)
                                   : 0;
                named = fits > best ? account : named;
                best = fits > best ? fits : best;
                if (!own && account_is_outgoing(account) &&
                    strcasecmp(prop_own_address(&account->values), sender) == 0)
                        own = account;
        }
        return named ? named : own;
}

/* The set stays in order, and the index of senders is what a look at each account finds, however they come,
 * change and go. */
START_TEST(many_come_change_and_go)
{
        static const char *const words[] = { "a@x.example", "b@x.example", "x.example",
                                             "y.example",   "c@y.example", "d@z.example" };
        unsigned seed = 7;
        struct cause cause;

        for (int step = 0; step < 150; step++) {
                char name[16], given[200];
                struct answer answer = { 0 };
                (void)snprintf(name, sizeof name, "n%d", rand_r(&seed) % 24);
                (void)snprintf(given, sizeof given,
                               "{\"hostname\": \"h.example\", \"sendsFor\": \"%s\", \"from\": \"%s\"}",
                               words[rand_r(&seed) % (int)count_of(words)],
                               rand_r(&seed) % 2 ? words[rand_r(&seed) % 2] : "d@z.example");
                struct account *account = account_named(name);
                if (!account) {
                        answer = rand_r(&seed) % 5
                                         ? add(name, "outgoing", given)
                                         : add(name, "incoming",
                                               "{\"hostname\": \"h.example\", \"transport\": \"imap\"}");
                } else if (rand_r(&seed) % 3 && account_is_outgoing(account)) {
                        set(&answer, name, given);
                        await(&answer, 1);
                } else {
                        accounts_delete(name, false, account_came, &answer);
                        await(&answer, 1);
                }
                expect_problems(&answer, "");
                size_t count = 0, sending = 0;
                for (const struct account *one = accounts_first(); one; one = one->next) {
                        ck_assert(!one->next || strcmp(one->name, one->next->name) < 0);
                        ck_assert_ptr_eq(accounts_after(one->name), one->next);
                        ck_assert_ptr_eq(account_named(one->name), one);
                        count++;
                        sending += account_is_outgoing(one);
                        if (account_is_outgoing(one) && sending == 1)
                                ck_assert_ptr_eq(accounts_first_outgoing(), one);
                }
                ck_assert_uint_eq(count, accounts_count());
                ck_assert((accounts_default(&cause) != NULL) == (sending == 1));
                for (size_t i = 0; i < count_of(words) && sending > 1; i++)
                        if (strchr(words[i], '@'))
                                ck_assert_ptr_eq(submit_account(words[i], &cause), walked(words[i]));
        }
        open_again();
        ck_assert_ptr_eq(submit_account("a@x.example", &cause), walked("a@x.example"));
}
END_TEST

/* ---- apply ---- */

static struct answer apply(const char *document, bool dry_run)
{
        struct answer answer = { 0 };
        json_t *given = json(document);

        accounts_apply(given, dry_run, &apply_user, &answer);
        json_decref(given);
        await(&answer, 1);
        return answer;
}

/* "plant:add other:none" */
static void expect_changes(struct answer *answer, const char *wanted)
{
        struct buf words = BUF_WITH_MAX(4096);
        size_t index;
        json_t *one;

        ck_assert_msg(answer->problems.count == 0, "%s", answer->problems.items[0].text);
        json_array_foreach(answer->changes, index, one)
                ck_assert_int_eq(buf_appendf(&words, "%s%s:%s", index ? " " : "",
                                             json_string_value(json_object_get(one, "account")),
                                             json_string_value(json_object_get(one, "change"))),
                                 0);
        scoped(scoped_free) char *text = buf_take_text(&words);
        ck_assert_str_eq(text, wanted);
        forget(answer);
}

static const char document[] =
        "[{\"name\": \"plant\", \"kind\": \"outgoing\", \"properties\": {\"hostname\": \"h.example\", "
        "\"maxConnections\": 9}},"
        " {\"name\": \"in\", \"kind\": \"incoming\", \"transport\": \"pop3\", \"hostname\": \"h.example\"}]";

START_TEST(a_document_is_made_true)
{
        struct answer answer = apply(document, true);

        expect_changes(&answer, "plant:add in:add");
        ck_assert_uint_eq(accounts_count(), 0);
        answer = apply(document, false);
        expect_changes(&answer, "plant:add in:add");
        ck_assert_uint_eq(accounts_count(), 2);
        ck_assert_int_eq(prop_number(&account_named("plant")->values, PROP_MAX_CONNECTIONS), 9);
        answer = apply(document, false);
        expect_changes(&answer, "plant:none in:none");
        answer = add("more", "outgoing", "{\"hostname\": \"h.example\"}");
        forget(&answer);
        answer = apply("[{\"name\": \"plant\", \"hostname\": \"h.example\", \"maxConnections\": 8}]", false);
        expect_changes(&answer, "plant:set");
        ck_assert_int_eq(prop_number(&account_named("plant")->values, PROP_MAX_CONNECTIONS), 8);
        ck_assert_uint_eq(accounts_count(), 3); /* others stay */
        ck_assert_uint_eq(changed, 1);
        answer = apply("[]", false);
        expect_changes(&answer, "");
}
END_TEST

/* More than are planned, taken over or visited in one turn. */
enum { MANY = 150 };
static unsigned visits;

static void visit(struct account *account)
{
        (void)account;
        visits++;
        if (visits == MANY)
                loop_end();
}

/* A document of as many, but for its closing bracket. */
static char *many(void)
{
        struct buf text = BUF_WITH_MAX(64 * KIB);

        for (int i = 0; i < MANY; i++)
                ck_assert_int_eq(buf_appendf(&text,
                                             "%s{\"name\": \"m%03d\", \"kind\": \"outgoing\", \"hostname\": "
                                             "\"h.example\"}",
                                             i ? "," : "[", i),
                                 0);
        return buf_take_text(&text);
}

static void (*const apply_stages[])(struct applying *apply, size_t index) = { plan_next, bind_next,
                                                                              decision_add, take_over };

START_TEST(an_apply_takes_turns)
{
        scoped(scoped_free) char *most = many(), *whole = text_of("%s]", most);
        struct answer answer = { 0 };
        json_t *given = json(whole);
        unsigned turns[count_of(apply_stages)] = { 0 };

        accounts_apply(given, false, &apply_user, &answer);
        while (!answer.come) {
                void (*work)(struct applying *apply, size_t index) = present->work;
                size_t at = present->at;
                unsigned before = added, told = answer.applied;
                loop_turn();
                ck_assert_uint_le(added - before, APPLY_ON_END);
                ck_assert_uint_le(answer.applied - told, APPLY_ON_END);
                if (!present || present->work != work)
                        continue;
                ck_assert_uint_le(present->at - at, APPLY_ON_END);
                for (size_t i = 0; i < count_of(apply_stages); i++)
                        turns[i] += work == apply_stages[i] && present->at > at;
        }
        for (size_t i = 0; i < count_of(apply_stages); i++)
                ck_assert_uint_ge(turns[i], MANY / APPLY_ON_END - 2);
        ck_assert_uint_eq(answer.problems.count, 0);
        ck_assert_uint_eq(answer.applied, MANY);
        ck_assert_uint_eq(added, MANY);
        for (size_t i = 0; i < json_array_size(given); i++)
                ck_assert(json_is_null(json_array_get(given, i)));
        json_decref(given);
        forget(&answer);
}
END_TEST

/* What the synced files wait for. */
static atomic_bool may_sync;

static int wait_to_sync(unused_arg int fd)
{
        for (int i = 0; !atomic_load(&may_sync); i++) {
                ck_assert_int_lt(i, 60 * 1000);
                (void)usleep(1000);
        }
        return 0;
}

/* An account that it does not touch is set meanwhile; one that it does, afterwards, and so is what was asked
 * behind that. */
START_TEST(others_are_set_beside_an_apply)
{
        struct disk_calls calls = *disk_real_calls();
        scoped(scoped_free) char *most = many(), *whole = text_of("%s]", most);
        struct answer before[2] = { 0 }, applied = { 0 }, behind[2] = { 0 };
        json_t *given = json(whole);
        struct answer answer = add("other", "outgoing", "{\"hostname\": \"h.example\"}");

        forget(&answer);
        calls.sync_all = wait_to_sync;
        disk_use(&calls);
        accounts_apply(given, false, &apply_user, &applied);
        set(&before[0], "other", "{\"maxConnections\": 7}");
        await(before, 1);
        set(&before[1], "other", "{\"maxConnections\": 8}");
        await(&before[1], 1);
        ck_assert(!applied.come);
        set(&behind[0], "m100", "{\"maxConnections\": 6}");
        set(&behind[1], "other", "{\"maxConnections\": 9}");
        ck_assert(!behind[0].come);
        atomic_store(&may_sync, true);
        while (!behind[0].come || !behind[1].come)
                loop_turn();
        ck_assert(applied.come);
        disk_use(NULL);
        ck_assert_uint_eq(applied.problems.count + behind[0].problems.count + behind[1].problems.count, 0);
        ck_assert_int_eq(prop_number(&account_named("m100")->values, PROP_MAX_CONNECTIONS), 6);
        ck_assert_int_eq(prop_number(&account_named("other")->values, PROP_MAX_CONNECTIONS), 9);
        ck_assert_uint_eq(accounts_count(), MANY + 1);
        json_decref(given);
        forget(&applied);
        for (int i = 0; i < 2; i++) {
                forget(&before[i]);
                forget(&behind[i]);
        }
}
END_TEST

static bool is_file_of(const char *name)
{
        json_t *file = file_json(name);
        bool there = file != NULL;

        json_decref(file);
        return there;
}

/* Cut off at each stage, before its last turn, and (the last) among the files: what was decided is there
 * after the next start, what was not has not been, and the answer says which. One that waits behind it is
 * answered, too. */
START_TEST(an_apply_is_cut_off)
{
        enum { FILES = count_of(apply_stages) };
        scoped(scoped_free) char *most = many(), *whole = text_of("%s]", most);
        struct answer answer = { 0 }, behind = { 0 };
        json_t *given = json(whole), *later = json(whole);
        struct cause cause = { 0 };
        bool done = _i < FILES && apply_stages[_i] == take_over, decided_by_then = done || _i == FILES;

        accounts_apply(given, false, &apply_user, &answer);
        accounts_apply(later, false, &apply_user, &behind);
        while (_i < FILES ? present->work != apply_stages[_i] : !is_file_of("m000"))
                loop_turn();
        ck_assert(!answer.come);
        store_close();
        loop_turn();
        accounts_close();
        ck_assert(answer.come && behind.come);
        ck_assert_uint_eq(behind.problems.count, 1);
        ck_assert_uint_eq(answer.problems.count, done ? 0 : 1);
        ck_assert_uint_eq(answer.applied, done ? MANY : 0);
        if (!done)
                ck_assert((strstr(answer.problems.items[0].text, "nothing") == NULL) == decided_by_then);
        ck_assert_msg(store_open(state_folder, &cause) == 0, "%s", cause.text);
        ck_assert_msg(accounts_open(&cause) == 0, "%s", cause.text);
        ck_assert_uint_eq(accounts_count(), decided_by_then ? MANY : 0);
        json_decref(given);
        json_decref(later);
        forget(&answer);
        forget(&behind);
}
END_TEST

START_TEST(many_take_several_turns)
{
        struct accounts_round round = { .visit = visit };
        scoped(scoped_free) char *most = many();
        scoped(scoped_free) char *twice = text_of("%s,{\"name\": \"m100\"}]", most);
        scoped(scoped_free) char *whole = text_of("%s]", most);
        struct answer answer = apply(twice, false);
        expect_problems(&answer, "name");
        ck_assert_uint_eq(accounts_count(), 0);
        answer = apply(whole, true);
        ck_assert_uint_eq(json_array_size(answer.changes), MANY);
        forget(&answer);
        answer = apply(whole, false);
        ck_assert_uint_eq(accounts_count(), MANY);
        ck_assert_uint_eq(account_count_with(ACCOUNT_CONNECTING), MANY);
        forget(&answer);
        visits = 0;
        accounts_round_begin(&round);
        ck_assert_uint_eq(visits, ROUND_ON_END);
        loop_run();
        ck_assert_uint_eq(visits, MANY);
        accounts_round_begin(&round);
        accounts_round_begin(&round);
        accounts_round_stop(&round);
        ck_assert_uint_eq(visits, MANY + ROUND_ON_END);
}
END_TEST

static const struct {
        const char *document, *problems;
} bad_documents[] = {
        { "[{\"kind\": \"outgoing\", \"hostname\": \"h.example\"}]", "name" },
        { "[7]", "name" },
        { "[{\"name\": \"a b\", \"kind\": \"outgoing\", \"hostname\": \"h.example\"}]", "name" },
        { "[{\"name\": \"new\", \"hostname\": \"h.example\"}]", "kind" },
        { "[{\"name\": \"new\", \"kind\": \"outgoing\"}]", "hostname" },
        { "[{\"name\": \"plant\", \"kind\": \"incoming\"}]", "kind" },
        { "[{\"name\": \"plant\", \"maxConnections\": 8}, {\"name\": \"in\", \"colour\": 1, \"push\": "
          "\"maybe\"}]",
          "colour push" },
        { "[{\"name\": \"plant\", \"maxConnections\": 8}, {\"name\": \"plant\", \"maxConnections\": 7}]",
          "name" },
        { "[{\"name\": \"new\", \"kind\": \"outgoing\", \"hostname\": \"h.example\"},"
          " {\"name\": \"new\", \"kind\": \"outgoing\", \"hostname\": \"h.example\"}]",
          "name" },
};

START_TEST(a_bad_document_changes_nothing)
{
        struct answer answer = apply(document, false);

        forget(&answer);
        answer = apply(bad_documents[_i].document, false);
        expect_problems(&answer, bad_documents[_i].problems);
        ck_assert_uint_eq(accounts_count(), 2);
        ck_assert_uint_eq(changed, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("accounts");
        TCase *tests = tcase_create("accounts");

        tcase_add_checked_fixture(tests, open_all, close_all);
        tcase_add_test(tests, an_added_one_is_on_disk_and_comes_back);
        tcase_add_loop_test(tests, a_bad_one_is_refused_whole, 0, count_of(bad_adds));
        tcase_add_test(tests, a_change_is_whole_or_not_at_all);
        tcase_add_test(tests, a_deleted_one_leaves_nothing);
        tcase_add_test(tests, unsent_mail_keeps_an_account);
        tcase_add_test(tests, what_differs_is_told);
        tcase_add_test(tests, changes_take_effect_in_the_order_they_were_asked);
        tcase_add_test(tests, changes_behind_a_deletion_are_refused);
        tcase_add_test(tests, a_disk_that_fails_changes_nothing);
        tcase_add_loop_test(tests, a_bad_file_is_an_account_in_fault, 0, count_of(bad_files));
        tcase_add_test(tests, an_unreadable_one_can_be_deleted);
        tcase_add_test(tests, a_link_is_not_followed);
        tcase_add_test(tests, in_order_of_name);
        tcase_add_test(tests, the_default_account);
        tcase_add_test(tests, the_account_of_a_sender);
        tcase_add_test(tests, many_come_change_and_go);
        tcase_add_test(tests, a_document_is_made_true);
        tcase_add_test(tests, many_take_several_turns);
        tcase_add_test(tests, an_apply_takes_turns);
        tcase_add_test(tests, others_are_set_beside_an_apply);
        tcase_add_loop_test(tests, an_apply_is_cut_off, 0, count_of(apply_stages) + 1);
        tcase_add_loop_test(tests, a_bad_document_changes_nothing, 0, count_of(bad_documents));
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
