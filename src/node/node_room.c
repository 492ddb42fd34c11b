typedef int node_room_placeholder;
