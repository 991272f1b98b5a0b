/* Addresses of clients as text. */
#ifndef EVERLINE_API_ADDRESS_H
#define EVERLINE_API_ADDRESS_H

#include <sys/socket.h>

#define API_ADDRESS_SIZE 46 /* with the NUL */

/* Without a port; "" for what is neither IPv4 nor IPv6, "unix" for a local socket. */
void api_address_text(char out[API_ADDRESS_SIZE], const struct sockaddr *address);

#endif
