typedef int control_room_placeholder;
