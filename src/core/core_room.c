typedef int core_room_placeholder;
