#include "common/control_socket.h"

#include <string.h>

#define SUFFIX ".sock"

char *
control_socket_path(const char *control_socket, const char *socket)
{
	size_t n = strlen(socket), suffix = sizeof SUFFIX - 1;

	if (control_socket != NULL && control_socket[0] != '\0')
		return xstrdup(control_socket);
	if (n > suffix && strcmp(socket + n - suffix, SUFFIX) == 0)
		n -= suffix;
	return xasprintf("%.*s-control%s", (int)n, socket, SUFFIX);
}
