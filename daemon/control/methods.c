/* SPDX-License-Identifier: MIT */
/* The table of socket methods, and the reading of what they take; see methods.h. */
#include "daemon/control/methods.h"

#include "common/limits.h"
#include "daemon/service/history.h"

#define SERVICE "io.emailsec.EmailService."
#define TRUST   "io.emailsec.Trust."
#define VARLINK "org.varlink.service."

/* A call without a message, certificates or many properties in it. */
#define SMALL LIMIT_CALL, LIMIT_CALL_VALUES

#define MUST(word) { PARAMETER_##word, false }
#define MAY(word)  { PARAMETER_##word, true }
#define NOTHING \
        { \
                { \
                        PARAMETER_NONE, false \
                } \
        }

/* clang-format off */
const struct method methods[] = {
        { SERVICE "GetStatus", PERMIT_READ, SMALL, METHOD_ENDING, on_get_status,
          { MAY(ACCOUNT), MAY(ACCOUNT_LIMIT) } },
        { SERVICE "ListAccounts", PERMIT_READ, SMALL, 0, on_list_accounts,
          { MAY(AFTER), MAY(ACCOUNT_LIMIT) } },
        { SERVICE "GetAccount", PERMIT_READ, SMALL, 0, on_get_account, { MUST(NAME) } },
        { SERVICE "AddAccount", PERMIT_ADMIN, 512 * KIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_add_account,
          { MUST(NAME), MUST(KIND), MUST(PROPERTIES) } },
        { SERVICE "SetAccount", PERMIT_ADMIN, 512 * KIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_set_account,
          { MUST(NAME), MUST(PROPERTIES) } },
        { SERVICE "DeleteAccount", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_account,
          { MUST(NAME), MAY(FORCE) } },
        { SERVICE "SetPassword", PERMIT_ADMIN, 512 * KIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_set_password,
          { MUST(NAME), MAY(SECRET), MAY(PASSWORD), MAY(CREDENTIAL), MAY(CLEAR) } },
        { SERVICE "Poll", PERMIT_ADMIN, SMALL, METHOD_WAITS, on_poll, { MUST(NAME), MAY(WAIT) } },
        { SERVICE "TestAccount", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS, on_test_account,
          { MUST(NAME) } },
        { SERVICE "ListFolders", PERMIT_ADMIN, SMALL, METHOD_WAITS, on_list_folders, { MUST(NAME) } },
        { SERVICE "AuthorizeAccount", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS | METHOD_CHANGES, on_authorize_account,
          { MUST(NAME) } },
        { SERVICE "SendHeartbeat", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS, on_send_heartbeat,
          { MUST(NAME) } },
        { SERVICE "Probe", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS, on_probe,
          { MUST(HOST), MAY(PORT), MAY(TRANSPORT), MAY(SECURITY) } },
        { SERVICE "FetchAutoconfig", PERMIT_ADMIN, SMALL, METHOD_WAITS, on_fetch_autoconfig, { MUST(DOMAIN) } },
        { SERVICE "Apply", PERMIT_ADMIN, LIMIT_FRAME, 2000000, METHOD_CHANGES, on_apply,
          { MUST(ACCOUNT_LIST), MAY(DRY_RUN) } },
        { SERVICE "Audit", PERMIT_READ, SMALL, 0, on_audit, NOTHING },
        { SERVICE "Submit", PERMIT_SUBMIT, 4 * MIB, LIMIT_CALL_VALUES, METHOD_STORED, on_submit,
          { MAY(ACCOUNT), MAY(FROM), MUST(RECIPIENTS), MAY(MESSAGE), MAY(DESCRIPTOR), MAY(KEY), MAY(PRIORITY),
            MAY(HOLD), MAY(NOTIFY), MAY(ORIGINALS), MAY(RET), MAY(ENVELOPE_ID), MAY(AUTHOR), MAY(PARTIAL) } },
        { SERVICE "ListQueue", PERMIT_READ, SMALL, METHOD_ENDING, on_list_queue,
          { MAY(ACCOUNT), MAY(STATES), MAY(AFTER), MAY(QUEUE_LIMIT) } },
        { SERVICE "GetMessage", PERMIT_READ, SMALL, METHOD_ENDING, on_get_message, { MUST(ID) } },
        { SERVICE "WaitMessage", PERMIT_SUBMIT, SMALL, METHOD_WAITS, on_wait_message, { MUST(ID) } },
        { SERVICE "RetryMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_retry_messages,
          { MUST(IDS) } },
        { SERVICE "HoldMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_hold_messages, { MUST(IDS) } },
        { SERVICE "ReleaseMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_release_messages,
          { MUST(IDS) } },
        { SERVICE "DeleteMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_delete_messages,
          { MUST(IDS) } },
        { SERVICE "RerouteMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_reroute_messages,
          { MUST(IDS), MUST(ACCOUNT) } },
        { SERVICE "FlushQueue", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_flush_queue, { MUST(NAME) } },
        { SERVICE "ListInbox", PERMIT_READ, SMALL, 0, on_list_inbox,
          { MUST(NAME), MAY(AFTER), MAY(INBOX_LIMIT) } },
        { SERVICE "OpenInboxMessage", PERMIT_READ, SMALL, 0, on_open_inbox_message,
          { MUST(NAME), MUST(ID) } },
        { SERVICE "DeleteInboxMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_delete_inbox_messages,
          { MUST(NAME), MAY(IDS), MAY(OLDER_THAN) } },
        { SERVICE "MarkInboxMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_mark_inbox_messages,
          { MUST(NAME), MUST(IDS), MUST(SEEN) } },
        { SERVICE "ListMissing", PERMIT_READ, SMALL, 0, on_list_missing, { MUST(NAME) } },
        { SERVICE "ForgetMissing", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_forget_missing,
          { MUST(NAME), MAY(ID) } },
        { SERVICE "Monitor", PERMIT_READ, SMALL, METHOD_MORE | METHOD_WAITS | METHOD_EVENTS, on_monitor,
          { MAY(EVENTS), MAY(ACCOUNTS), MAY(SINCE), MAY(SUBSCRIBER) } },
        { SERVICE "Acknowledge", PERMIT_READ, SMALL, 0, on_acknowledge, { MUST(SUBSCRIBER), MUST(CURSOR) } },
        { SERVICE "ListSubscribers", PERMIT_READ, SMALL, 0, on_list_subscribers, NOTHING },
        { SERVICE "ForgetSubscriber", PERMIT_READ, SMALL, METHOD_CHANGES, on_forget_subscriber,
          { MUST(NAME) } },
        { SERVICE "ListDevices", PERMIT_READ, SMALL, 0, on_list_devices, NOTHING },
        { SERVICE "AddDevice", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_add_device,
          { MUST(NAME), MAY(ACCOUNT), MAY(FROM) } },
        { SERVICE "SetDevicePassword", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_set_device_password,
          { MUST(NAME), MUST(PASSWORD) } },
        { SERVICE "DeleteDevice", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_device, { MUST(NAME) } },
        { SERVICE "GetMetrics", PERMIT_READ, SMALL, 0, on_get_metrics, NOTHING },
        { SERVICE "GetHistory", PERMIT_READ, SMALL, 0, on_get_history, { MAY(MINUTES) } },
        { SERVICE "DescribeProperties", PERMIT_READ, SMALL, 0, on_describe_properties, NOTHING },
        { SERVICE "Backup", PERMIT_ADMIN, SMALL, METHOD_WAITS | METHOD_CHANGES, on_backup,
          { MUST(DESCRIPTOR), MAY(SECRETS), MAY(MAIL) } },
        { SERVICE "Reload", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_reload, NOTHING },
        { TRUST "ListAllowedHosts", PERMIT_READ, SMALL, 0, on_list_allowed_hosts, { MAY(STATE) } },
        { TRUST "GetAllowedHost", PERMIT_READ, SMALL, 0, on_get_allowed_host, { MUST(ID) } },
        { TRUST "Approve", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_approve,
          { MUST(ID), MUST(FINGERPRINT), MAY(ERRORS), MAY(PINS), MAY(UNTIL), MAY(REASON) } },
        { TRUST "Reject", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_reject, { MUST(ID), MAY(REASON) } },
        { TRUST "Unapprove", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_unapprove, { MUST(ID) } },
        { TRUST "DeleteAllowedHost", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_allowed_host,
          { MUST(ID) } },
        { TRUST "Prune", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_prune, NOTHING },
        { TRUST "ListAnchors", PERMIT_READ, SMALL, 0, on_list_anchors, { MAY(SYSTEM) } },
        { TRUST "GetAnchor", PERMIT_READ, SMALL, 0, on_get_anchor, { MUST(FINGERPRINT) } },
        { TRUST "ImportAnchors", PERMIT_ADMIN, 6 * MIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_import_anchors,
          { MUST(CERTIFICATES) } },
        { TRUST "DeleteAnchor", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_anchor,
          { MUST(FINGERPRINT) } },
        { TRUST "ListServerCertificates", PERMIT_READ, SMALL, 0, on_list_server_certificates, NOTHING },
        { TRUST "ListKeys", PERMIT_READ, SMALL, 0, on_list_keys, NOTHING },
        { TRUST "ImportKey", PERMIT_ADMIN, MIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_import_key,
          { MUST(NAME), MUST(PRIVATE_KEY) } },
        { TRUST "DeleteKey", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_key, { MUST(NAME) } },
        { VARLINK "GetInfo", PERMIT_NONE, SMALL, METHOD_ENDING, on_get_info, NOTHING },
        { VARLINK "GetInterfaceDescription", PERMIT_NONE, SMALL, METHOD_ENDING, on_get_interface_description,
          { MUST(INTERFACE) } },
};
/* clang-format on */
const size_t method_count = count_of(methods);

static int (*reload_settings)(json_t *warnings, struct cause *cause);

const struct method *method_named(const char *name)
{
        for (size_t i = 0; i < method_count; i++)
                if (strcmp(methods[i].name, name) == 0)
                        return &methods[i];
        return NULL;
}

size_t method_size(const struct method *method)
{
        return method ? method->size : LIMIT_CALL;
}

size_t method_values(const struct method *method)
{
        return method ? method->values : LIMIT_CALL_VALUES;
}

bool interface_known(const char *method_name)
{
        static const char *const prefixes[] = { SERVICE, TRUST, VARLINK };

        for (size_t i = 0; i < count_of(prefixes); i++)
                if (strncmp(method_name, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;
        return false;
}

void methods_on_reload(int (*reload)(json_t *warnings, struct cause *cause))
{
        reload_settings = reload;
}

int methods_reload(json_t *warnings, struct cause *cause)
{
        return reload_settings ? reload_settings(warnings, cause) : 0;
}

/* ---- what calls say, out of their JSON ---- */

static const struct json_field fields[PARAMETER_COUNT] = {
#define PARAMETER_FIELD(word, type, member, label, bits, least, most) \
        [PARAMETER_##word] = { .name = label, \
                               .kind = JSON_FIELD_##type, \
                               .flags = bits, \
                               .min = least, \
                               .max = most, \
                               .offset = offsetof(struct parameters, member), \
                               .present = offsetof(struct parameters, said) + PARAMETER_##word },
        PARAMETERS(PARAMETER_FIELD)
#undef PARAMETER_FIELD
};

static const struct parameters defaults = {
        .account_limit = LIMIT_ACCOUNTS,
        .inbox_limit = LIMIT_INBOX_PAGE,
        .mail = true,
        .minutes = HISTORY_MINUTES,
        .pins = "certificate",
        .queue_limit = LIMIT_QUEUE_PAGE,
        .secret = "password",
        .wait = true,
};

const char *parameter_name(enum parameter parameter)
{
        return fields[parameter].name;
}

const char *parameter_type(enum parameter parameter)
{
        switch (fields[parameter].kind) {
        case JSON_FIELD_TEXT:
                return "string";
        case JSON_FIELD_BOOL:
                return "bool";
        case JSON_FIELD_INT:
                return "int";
        case JSON_FIELD_OBJECT:
                return "object";
        case JSON_FIELD_ARRAY:
        case JSON_FIELD_OBJECTS:
                return "[]object";
        case JSON_FIELD_TEXTS:
                return "[]string";
        }
        return "";
}

int parameters_read(const json_t *object, const struct taken *taken, struct parameters *out,
                    struct causes *problems)
{
        struct json_field wanted[TAKEN_MAX];
        size_t count = 0;

        for (; count < TAKEN_MAX && taken[count].parameter != PARAMETER_NONE; count++) {
                wanted[count] = fields[taken[count].parameter];
                if (!taken[count].optional)
                        wanted[count].flags |= FIELD_REQUIRED;
        }
        *out = defaults;
        return json_read_fields(object, wanted, count, out, problems);
}
