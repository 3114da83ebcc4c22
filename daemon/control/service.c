/* SPDX-License-Identifier: MIT */
/* org.varlink.service: who we are and what our interfaces look like (varlink.org). */
#include "daemon/control/methods.h"
#include "varlink_texts.h"

static const char service_text[] =
        "# The Varlink Service Interface is provided by every varlink service. It\n"
        "# describes the service and the interfaces it implements.\n"
        "interface org.varlink.service\n"
        "\n"
        "# Get a list of all the interfaces a service provides and information\n"
        "# about the implementation.\n"
        "method GetInfo() -> (\n"
        "  vendor: string,\n"
        "  product: string,\n"
        "  version: string,\n"
        "  url: string,\n"
        "  interfaces: []string\n"
        ")\n"
        "\n"
        "# Get the description of an interface that is implemented by this service.\n"
        "method GetInterfaceDescription(interface: string) -> (description: string)\n"
        "\n"
        "# The requested interface was not found.\n"
        "error InterfaceNotFound (interface: string)\n"
        "\n"
        "# The requested method was not found\n"
        "error MethodNotFound (method: string)\n"
        "\n"
        "# The interface defines the requested method, but the service does not\n"
        "# implement it.\n"
        "error MethodNotImplemented (method: string)\n"
        "\n"
        "# One of the passed parameters is invalid.\n"
        "error InvalidParameter (parameter: string)\n"
        "\n"
        "# Client is denied access\n"
        "error PermissionDenied ()\n"
        "\n"
        "# Method is expected to be called with 'more' set to true, but wasn't\n"
        "error ExpectedMore ()\n";

static const struct {
        const char *name, *text;
} interfaces[] = {
        { "io.emailsec.EmailService", io_emailsec_EmailService_text },
        { "io.emailsec.Trust", io_emailsec_Trust_text },
        { "org.varlink.service", service_text },
};

void on_get_info(struct call *call)
{
        json_t *info = json_object(), *names = json_array();

        for (size_t i = 0; i < count_of(interfaces); i++)
                (void)json_array_append_new(names, json_string(interfaces[i].name));
        json_put_text(info, "vendor", "emailsec");
        json_put_text(info, "product", "emailsecd");
        json_put_text(info, "version", VERSION);
        json_put_text(info, "url", "man:emailsecd(8)");
        json_put(info, "interfaces", names);
        call_reply(call, info);
}

void on_get_interface_description(struct call *call)
{
        const char *name = call_parameters(call)->interface;

        for (size_t i = 0; i < count_of(interfaces); i++)
                if (strcmp(interfaces[i].name, name) == 0) {
                        json_t *reply = json_object();
                        json_put_text(reply, "description", interfaces[i].text);
                        call_reply(call, reply);
                        return;
                }
        call_fail_varlink(call, "InterfaceNotFound", "interface", name);
}
