/* A Modbus TCP server of libmodbus: floats in all four byte orders, on a free loopback port that it prints. */
#include <arpa/inet.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes a b c d as they shall stand on the wire, into two registers. */
static void put(uint16_t *at, float value, int a, int b, int c, int d) {
    uint32_t bits;
    uint8_t natural[4];
    memcpy(&bits, &value, 4);
    for (int i = 0; i < 4; i++) natural[i] = bits >> (24 - 8 * i);
    at[0] = natural[a] << 8 | natural[b];
    at[1] = natural[c] << 8 | natural[d];
}

int main(void) {
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 8, 32);
    put(map->tab_registers + 0, 230.5f, 0, 1, 2, 3);
    modbus_set_float_abcd(230.5f, map->tab_registers + 2); /* comes out as BADC on this kind of machine */
    put(map->tab_registers + 4, 230.5f, 2, 3, 0, 1);
    put(map->tab_registers + 6, 230.5f, 3, 2, 1, 0);
    modbus_set_float_abcd(230.5f, map->tab_input_registers);
    modbus_set_float_abcd(1187.25f, map->tab_input_registers + 12);

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
        int length;
        modbus_tcp_accept(context, &listener);
        while ((length = modbus_receive(context, query)) >= 0)
            if (length > 0) modbus_reply(context, query, length, map);
        modbus_close(context);
    }
}
