/* SPDX-License-Identifier: MIT */
/* emailsecd.conf: the shipped file, defaults, drop-ins, and every way a file can be wrong, told by file and
 * line. */
#include "daemon/settings.c"
#include "daemon/settings_file.c"

#include <check.h>
#include <fcntl.h>
#include <sys/stat.h>

static char folder[512], conf[600];

static void make_folder(void)
{
        const char *base = getenv("TMPDIR");

        (void)snprintf(folder, sizeof folder, "%s/settings.XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(conf, sizeof conf, "%s/emailsecd.conf", folder);
        ck_assert_int_eq(unsetenv("STATE_DIRECTORY"), 0);
        ck_assert_int_eq(unsetenv("RUNTIME_DIRECTORY"), 0);
}

static void remove_folder(void)
{
        char *drop_ins = text_of("%s.d", conf);
        const char *const folders[] = { drop_ins, folder };

        for (size_t i = 0; i < count_of(folders); i++) {
                DIR *dir = opendir(folders[i]);
                const struct dirent *entry;
                while (dir && (entry = readdir(dir))) {
                        char *name = text_of("%s/%s", folders[i], entry->d_name);
                        (void)unlink(name);
                        free(name);
                }
                if (dir)
                        (void)closedir(dir);
                (void)rmdir(folders[i]);
        }
        free(drop_ins);
}

static void write_bytes(const char *name, const char *bytes, size_t len)
{
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
        ck_assert_int_eq(close(fd), 0);
}

static void write_drop_in(const char *name, const char *text)
{
        char *path = text_of("%s.d", conf);

        (void)mkdir(path, 0700);
        char *file = text_of("%s/%s", path, name);
        write_bytes(file, text, strlen(text));
        free(file);
        free(path);
}

START_TEST(defaults)
{
        struct settings settings;

        settings_defaults(&settings);
        ck_assert_str_eq(settings.state_directory, "/var/lib/emailsecd");
        ck_assert_str_eq(settings.control_socket, "/run/emailsecd/io.emailsec");
        ck_assert_int_gt((int)strlen(settings.hostname), 0);
        ck_assert_ptr_null(settings.default_account);
        ck_assert_int_eq(settings.max_message_size, 50 * MIB);
        ck_assert_int_eq(settings.keep_sent, 7 * 86400);
        ck_assert_int_eq(settings.log_level, LOG_INFO);
        ck_assert_int_eq((int)settings.log_target, JOURNAL_AUTO);
        ck_assert_ptr_null(settings.system_trust_store);
        ck_assert_ptr_null(settings.revocation_lists);
        ck_assert_str_eq(settings.expiry_warnings, "30, 7, 1");
        ck_assert_str_eq(settings.read_group, "emailsec");
        ck_assert_str_eq(settings.admin_group, "emailsec-admin");
        ck_assert_str_eq(settings.allow_submit, "all");
        ck_assert_int_eq(settings.max_sessions, 2000);
        ck_assert_int_eq(settings.max_sessions_per_host, 64);
        ck_assert_int_eq(settings.queue_size_limit, INT64_C(10) << 30);
        ck_assert_int_eq(settings.disk_reserve, -5);
        settings_done(&settings);
        ck_assert_int_eq(setenv("STATE_DIRECTORY", "/tmp/one:/tmp/two", 1), 0);
        ck_assert_int_eq(setenv("RUNTIME_DIRECTORY", "/tmp/run", 1), 0);
        settings_defaults(&settings);
        ck_assert_str_eq(settings.state_directory, "/tmp/one");
        ck_assert_str_eq(settings.control_socket, "/tmp/run/io.emailsec");
        settings_done(&settings);
}
END_TEST

/* The shipped file with its keys taken out of comment: whole, in order, and with the defaults of the table.
 */
START_TEST(the_shipped_file_is_the_table)
{
        const struct settings_key_info *keys;
        struct settings settings, plain;
        struct cause cause = { 0 };
        char line[1000], section[100] = "";
        size_t found = 0, count = settings_keys(&keys);
        FILE *shipped = fopen("conf/emailsecd.conf", "re"), *open_keys = fopen(conf, "we");

        ck_assert_msg(shipped != NULL, "run it from the top of the tree");
        ck_assert_ptr_nonnull(open_keys);
        while (fgets(line, sizeof line, shipped)) {
                bool key = line[0] == '#' && line[1] >= 'A' && line[1] <= 'Z' && strchr(line, '=');
                ck_assert_int_ge(fputs(line + key, open_keys), 0);
                if (line[0] == '[')
                        (void)sscanf(line, "[%99[^]]", section);
                if (!key)
                        continue;
                ck_assert_uint_lt(found, count);
                char *expected = text_of("#%s=%s\n", keys[found].key, keys[found].fallback);
                ck_assert_str_eq(line, expected);
                ck_assert_str_eq(section, keys[found].section);
                ck_assert_int_gt((int)strlen(keys[found].meaning), 0);
                free(expected);
                found++;
        }
        ck_assert_uint_eq(found, count);
        ck_assert_int_eq(fclose(shipped), 0);
        ck_assert_int_eq(fclose(open_keys), 0);
        settings_defaults(&settings);
        settings_defaults(&plain);
        ck_assert_msg(settings_read(&settings, conf, true, &cause) == 0, "%s", cause.text);
        ck_assert_str_eq(settings.state_directory, plain.state_directory);
        ck_assert_str_eq(settings.hostname, plain.hostname);
        ck_assert_str_eq(settings.expiry_warnings, plain.expiry_warnings);
        ck_assert_int_eq(settings.queue_size_limit, plain.queue_size_limit);
        settings_done(&plain);
        ck_assert_int_eq(settings_read(&settings, "conf/emailsecd.conf", true, &cause), 0);
        settings_done(&settings);
}
END_TEST

START_TEST(files_and_drop_ins_in_order)
{
        struct settings settings;
        struct cause cause = { 0 };
        static const char text[] =
                "\xef\xbb\xbf; a comment\n# another\n\n[Service]\n  Hostname = Mail.Example \n"
                "MaxMessageSize=1M\nMaxMessageSize=2M\r\nLogLevel=debug\nLogTarget: stderr\n"
                "[Trust]\nSystemTrustStore=/a;b #c ;d\n[Control]\nAllowSubmit=\n[Service]\nKeepSent=2w";

        settings_defaults(&settings);
        ck_assert_int_eq(settings_read(&settings, conf, false, &cause), 0);
        ck_assert_int_eq(settings_read(&settings, conf, true, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        ck_assert_ptr_nonnull(strstr(cause.text, "emailsecd.conf: No such file"));
        ck_assert_ptr_nonnull(strstr(cause.remedy, "--config"));
        write_bytes(conf, text, sizeof text - 1);
        write_drop_in("20-b.conf", "[Limits]\nMaxSessions=20\n");
        write_drop_in("10-a.conf", "[Limits]\nMaxSessions=10\nMaxSessionsPerHost=10\n");
        write_drop_in(".hidden.conf", "nonsense\n");
        write_drop_in("old.conf~", "nonsense\n");
        ck_assert_msg(settings_read(&settings, conf, true, &cause) == 0, "%s", cause.text);
        ck_assert_str_eq(settings.hostname, "mail.example");
        ck_assert_int_eq(settings.max_message_size, 2 * MIB);
        ck_assert_int_eq(settings.log_level, LOG_DEBUG);
        ck_assert_int_eq((int)settings.log_target, JOURNAL_STDERR);
        ck_assert_str_eq(settings.system_trust_store, "/a;b #c ;d");
        ck_assert_str_eq(settings.allow_submit, "");
        ck_assert_int_eq(settings.keep_sent, 14 * 86400);
        ck_assert_int_eq(settings.max_sessions, 20);
        ck_assert_int_eq(settings.max_sessions_per_host, 10);
        write_drop_in("30-c.conf", "[Limits]\nMaxSessions=30\nMaxSessionsPerHost=x\n");
        ck_assert_int_eq(settings_read(&settings, conf, true, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "30-c.conf:3: MaxSessionsPerHost: x is not a number"));
        ck_assert_str_eq(cause.property, "Limits.MaxSessionsPerHost");
        ck_assert_int_eq(settings.max_sessions, 20); /* nothing of a refused reading is taken */
        settings_done(&settings);
}
END_TEST

static const struct {
        const char *text;
        int line;
        const char *says, *remedy;
} wrong[] = {
        { "[Servce]\nHostname=a\n", 1, "there is no section [Servce]", "did you mean [Service]?" },
        { "\n[Bogus]\n", 2, "there is no section [Bogus]", "" },
        { "[Service]\n[Trust ]\n", 2, "there is no section [Trust ]", "did you mean [Trust]?" },
        { "[Service] Hostname=a\n", 1, "only the name of a section", NULL },
        { "[Service\nHostname=a\n", 1, "neither [Section] nor Key=Value", NULL },
        { "[Service]\nHostname\n", 2, "neither [Section] nor Key=Value", NULL },
        { "[Service]\nnonsense\nHostname=a b\n", 2, "neither [Section] nor Key=Value", NULL },
        { "[Service]\nHostname=a b\nnonsense\n", 2, "Hostname: the host name a b", NULL },
        { "Hostname=a\n", 1, "stands before any [Section]", NULL },
        { "[Service]\nHostName=a\n", 2, "there is no key HostName in [Service]", "did you mean Hostname?" },
        { "[Service]\nrelayhost=a\n", 2, "there is no key relayhost",
          "a server is a property of an account: emailsecctl account add outgoing NAME hostname=HOST" },
        { "[Service]\nDebug=yes\n", 2, "there is no key Debug", "did you mean LogLevel=debug?" },
        { "[Trust]\nHostname=a\n", 2, "there is no key Hostname in [Trust]", "it belongs into [Service]" },
        { "[Service]\nHostname=a.example\n multi=b\n", 3, "there is no key multi", NULL },
        { "[Service]\nStateDirectory=var\n", 2, "not an absolute path", NULL },
        { "[Service]\nStateDirectory=\n", 2, "the value is missing", NULL },
        { "[Service]\nDefaultAccount=../x\n", 2, "../x is not a name", NULL },
        { "[Service]\nMaxMessageSize=5\n", 2, "out of range", NULL },
        { "[Service]\nMaxMessageSize=50 MB\n", 2, "is not a size", NULL },
        { "[Service]\nMaxMessageSize=99999999999T\n", 2, "is not a size", NULL },
        { "[Service]\nMaxMessageSize=18446744073709551615\n", 2, "out of range", NULL },
        { "[Service]\nKeepSent=7 days\n", 2, "is not a duration", NULL },
        { "[Service]\nLogLevel=verbose\n", 2, "is not a level", NULL },
        { "[Service]\nLogTarget=syslog\n", 2, "is not a target", NULL },
        { "[Trust]\nExpiryWarnings=30;7\n", 2, "not a list of days", NULL },
        { "[Trust]\nExpiryWarnings=30,\n", 2, "not a list of days", NULL },
        { "[Trust]\nExpiryWarnings=0\n", 2, "not a list of days", NULL },
        { "[Control]\nReadGroup=a\x01\n", 2, "control bytes", NULL },
        { "[Limits]\nMaxSessions=0\n", 2, "out of range: 1 to", NULL },
        { "[Limits]\nMaxSessions=-5\n", 2, "is not a number", NULL },
        { "[Service]\nControlSocket=/"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
          2, "longer than 107 bytes", NULL },
};

START_TEST(wrong_files_are_told)
{
        struct settings settings;
        struct cause cause = { 0 };

        settings_defaults(&settings);
        char *host = copy_text(settings.hostname);
        write_bytes(conf, wrong[_i].text, strlen(wrong[_i].text));
        ck_assert_int_eq(settings_read(&settings, conf, true, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_INVALID);
        char *place_told = text_of("emailsecd.conf:%d: ", wrong[_i].line);
        ck_assert_msg(strstr(cause.text, place_told) != NULL, "%s", cause.text);
        ck_assert_msg(strstr(cause.text, wrong[_i].says) != NULL, "%s", cause.text);
        if (wrong[_i].remedy)
                ck_assert_str_eq(cause.remedy, wrong[_i].remedy);
        ck_assert_str_eq(settings.hostname, host);
        ck_assert_int_eq(settings_read(&settings, conf, true, NULL), -1);
        free(place_told);
        free(host);
        settings_done(&settings);
}
END_TEST

START_TEST(line_length_is_exact)
{
        struct settings settings;
        struct cause cause = { 0 };
        static const char before[] = "[Trust]\nSystemTrustStore=/";
        char *text = new_zeroed(LIMIT_SETTINGS_LINE + 100, 1);
        size_t start = strlen("[Trust]\n"), value = PATH_BYTES;

        settings_defaults(&settings);
        memset(text, 'a', LIMIT_SETTINGS_LINE + 90);
        memcpy(text, before, sizeof before - 1);
        write_bytes(conf, text, sizeof before - 2 + value); /* the longest value, no line end */
        ck_assert_msg(settings_read(&settings, conf, true, &cause) == 0, "%s", cause.text);
        ck_assert_uint_eq(strlen(settings.system_trust_store), value);
        text[start + LIMIT_SETTINGS_LINE] = '\n';
        write_bytes(conf, text, start + LIMIT_SETTINGS_LINE + 1);
        ck_assert_int_eq(settings_read(&settings, conf, true, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "SystemTrustStore: longer than"));
        text[start + LIMIT_SETTINGS_LINE] = 'a';
        text[start + LIMIT_SETTINGS_LINE + 1] = '\n';
        write_bytes(conf, text, start + LIMIT_SETTINGS_LINE + 2);
        ck_assert_int_eq(settings_read(&settings, conf, true, &cause), -1);
        ck_assert_msg(strstr(cause.text, "emailsecd.conf:2: the line is longer than 4096 bytes") != NULL,
                      "%s", cause.text);
        free(text);
        write_bytes(conf, "[Trust]\n#\0\n", 11);
        ck_assert_int_eq(settings_read(&settings, conf, true, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, ":2: a NUL byte"));
        ck_assert_int_eq(settings_read(&settings, folder, true, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "Is a directory"));
        settings_done(&settings);
}
END_TEST

START_TEST(single_assignments)
{
        struct settings settings;
        struct cause cause = { 0 };
        static const char *const bad[] = {
                "",           "Service",           "Service.Hostname", "Hostname=a",        ".=",
                "Service.=a", "Service.Hostname=", "Bogus.Key=1",      "service.Hostname=a"
        };

        settings_defaults(&settings);
        ck_assert_int_eq(settings_set(&settings, "Service.Hostname=a.example", &cause), 0);
        ck_assert_str_eq(settings.hostname, "a.example");
        ck_assert_int_eq(settings_set(&settings, "Trust.SystemTrustStore=/a=b.c", &cause), 0);
        ck_assert_str_eq(settings.system_trust_store, "/a=b.c");
        ck_assert_int_eq(settings_set(&settings, "Trust.SystemTrustStore=", &cause), 0);
        ck_assert_ptr_null(settings.system_trust_store);
        for (size_t i = 0; i < count_of(bad); i++) {
                bool resets = same_text(bad[i], "Service.Hostname="); /* back to the machine's own */
                ck_assert_msg(settings_set(&settings, bad[i], &cause) == (resets ? 0 : -1), "%s", bad[i]);
        }
        struct settings copy;
        settings_copy(&copy, &settings);
        ck_assert_str_eq(copy.hostname, settings.hostname);
        ck_assert_ptr_ne(copy.hostname, settings.hostname);
        settings_done(&copy);
        settings_done(&settings);
}
END_TEST

/* What it tells is what the file would say, and what was told is told as changed. */
START_TEST(values_are_told_as_the_file_says_them)
{
        static const char *const told[][3] = {
                { "KeepSent", "Service.KeepSent=36h", "36h" },
                { "MaxMessageSize", "Service.MaxMessageSize=65536K", "64M" },
                { "DiskReserve", "Service.DiskReserve=10%", "10%" },
                { "LogLevel", "Service.LogLevel=debug", "debug" },
                { "MaxSessions", "Limits.MaxSessions=1024", "1024" },
                { "AllowSubmit", "Control.AllowSubmit=", "" },
        };
        struct settings settings;
        struct cause cause = { 0 };
        size_t changed = 0, index;
        json_t *row;

        settings_defaults(&settings);
        for (size_t i = 0; i < count_of(told); i++)
                ck_assert_msg(settings_set(&settings, told[i][1], &cause) == 0, "%s", cause.text);
        json_t *list = settings_description(&settings);
        json_array_foreach(list, index, row) {
                const char *key = json_string_value(json_object_get(row, "key")),
                           *value = json_string_value(json_object_get(row, "value"));
                changed += json_is_true(json_object_get(row, "changed"));
                for (size_t i = 0; i < count_of(told); i++)
                        if (same_text(told[i][0], key))
                                ck_assert_str_eq(value, told[i][2]);
                if (!json_is_true(json_object_get(row, "changed")) && !same_text(key, "Hostname"))
                        ck_assert_str_eq(value, json_string_value(json_object_get(row, "default")));
        }
        ck_assert_uint_eq(changed, count_of(told));
        json_decref(list);
        settings_done(&settings);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("settings");
        TCase *tc = tcase_create("settings");

        tcase_add_checked_fixture(tc, make_folder, remove_folder);
        tcase_add_test(tc, defaults);
        tcase_add_test(tc, the_shipped_file_is_the_table);
        tcase_add_test(tc, files_and_drop_ins_in_order);
        tcase_add_loop_test(tc, wrong_files_are_told, 0, (int)count_of(wrong));
        tcase_add_test(tc, line_length_is_exact);
        tcase_add_test(tc, single_assignments);
        tcase_add_test(tc, values_are_told_as_the_file_says_them);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
