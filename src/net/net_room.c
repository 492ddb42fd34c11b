typedef int net_room_placeholder;
