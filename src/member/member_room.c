typedef int member_room_placeholder;
