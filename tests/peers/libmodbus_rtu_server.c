/* An RTU server on the serial port in argv[1], 9600 8E1, unit 17: ten holding registers, 230.5 first. */
#include <modbus/modbus.h>
#include <errno.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 10, 0);
    modbus_t *line = argc == 2 ? modbus_new_rtu(argv[1], 9600, 'E', 8, 1) : NULL;

    if (!line || !map || modbus_set_slave(line, 17) == -1 || modbus_connect(line) == -1)
        return 1;
    map->tab_registers[0] = 0x4366;
    map->tab_registers[1] = 0x8000;
    puts("ready");
    fflush(stdout);
    for (;;) {
        int length = modbus_receive(line, query);
        if (length > 0)
            modbus_reply(line, query, length, map);
        else if (length == -1 && errno != EMBBADCRC && errno != ETIMEDOUT)
            return 0;
    }
}
