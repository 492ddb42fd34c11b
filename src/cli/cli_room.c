typedef int cli_room_placeholder;
