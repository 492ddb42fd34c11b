typedef int rpc_room_placeholder;
