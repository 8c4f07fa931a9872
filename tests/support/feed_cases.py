"""Feeds that are broken or suspicious, one row a case: code, tables, file, line, field."""

# A row is a case: broken over lines it could not be read as one.
# ruff: noqa: E501

from __future__ import annotations

PRODUCTS = "fare_product_id,rider_category_id,fare_media_id,amount,currency\n"
LEGS = "leg_group_id,network_id,from_area_id,to_area_id,from_timeframe_group_id,fare_product_id\n"
TRANSFERS = (
    "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit,duration_limit_type,"
    "fare_transfer_type,fare_product_id\n"
)
FRAMES = "timeframe_group_id,start_time,end_time,service_id\n"
CALENDAR = (
    "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
    "s,1,1,1,1,1,1,1,20260101,20261231\n"
)
ATTRIBUTES = "fare_id,price,currency_type,payment_method,transfers,transfer_duration\n"
RULES = "fare_id,route_id,origin_id,destination_id,contains_id\n"

Tables = dict[str, str | None]
ERRORS: list[tuple[str, Tables, str, int, str]] = [
    ("GTFS_AMOUNT", {"fare_products": PRODUCTS + "single,,,2.005,EUR\n"}, "fare_products", 2, "amount"),
    ("GTFS_AMOUNT", {"fare_products": PRODUCTS + "single,,,2,5,EUR\n".replace("2,5", "2.5x")}, "fare_products", 2, "amount"),
    ("GTFS_AMOUNT", {"fare_products": PRODUCTS + "single,,,99999999999,EUR\n"}, "fare_products", 2, "amount"),
    ("GTFS_AMOUNT", {"fare_products": PRODUCTS + "single,,,1.5,JPY\n"}, "fare_products", 2, "amount"),
    ("GTFS_CURRENCY", {"fare_products": PRODUCTS + "single,,,2.00,EUX\n"}, "fare_products", 2, "currency"),
    ("GTFS_REQUIRED", {"fare_products": PRODUCTS + ",,,2.00,EUR\n"}, "fare_products", 2, "fare_product_id"),
    ("GTFS_DUPLICATE", {"fare_products": PRODUCTS + "single,,,2.00,EUR\nsingle,,,3.00,EUR\n"}, "fare_products", 3, ""),
    ("GTFS_REFERENCE", {"fare_leg_rules": LEGS + "G,,,,,nothing\n"}, "fare_leg_rules", 2, "fare_product_id"),
    ("GTFS_REFERENCE", {"fare_leg_rules": LEGS + "G,,a9,,,single\n", "areas": "area_id\na1\n"}, "fare_leg_rules", 2, "from_area_id"),
    ("GTFS_REFERENCE", {"fare_leg_rules": LEGS + "G,n9,,,,single\n", "networks": "network_id\nn1\n"}, "fare_leg_rules", 2, "network_id"),
    ("GTFS_REFERENCE", {"fare_leg_rules": LEGS + "G,,,,peak,single\n"}, "fare_leg_rules", 2, "from_timeframe_group_id"),
    ("GTFS_REFERENCE", {"fare_transfer_rules": TRANSFERS + "G,X,,,,0,\n"}, "fare_transfer_rules", 2, "to_leg_group_id"),
    ("GTFS_REFERENCE", {"timeframes": FRAMES + "p,,,x\n", "calendar": CALENDAR}, "timeframes", 2, "service_id"),
    ("GTFS_REFERENCE", {"fare_products": PRODUCTS + "single,dog,,2.00,EUR\n", "rider_categories": "rider_category_id\ncat\n"}, "fare_products", 2, "rider_category_id"),
    ("GTFS_GROUP", {"fare_leg_rules": LEGS + "G,,,,,single\nH,,,,,single\n"}, "fare_leg_rules", 3, "leg_group_id"),
    ("GTFS_OVERLAP", {"timeframes": FRAMES + "p,07:00:00,09:00:00,s\np,08:59:59,10:00:00,s\n", "calendar": CALENDAR}, "timeframes", 3, "start_time"),
    ("GTFS_TIME", {"timeframes": FRAMES + "p,23:00:00,25:00:00,s\n", "calendar": CALENDAR}, "timeframes", 2, "end_time"),
    ("GTFS_TIME", {"timeframes": FRAMES + "p,22:00:00,05:00:00,s\n", "calendar": CALENDAR}, "timeframes", 2, "end_time"),
    ("GTFS_TIME", {"timeframes": FRAMES + "p,7 am,09:00:00,s\n", "calendar": CALENDAR}, "timeframes", 2, "start_time"),
    ("GTFS_PAIR", {"timeframes": FRAMES + "p,07:00:00,,s\n", "calendar": CALENDAR}, "timeframes", 2, "start_time"),
    ("GTFS_DATE", {"calendar": CALENDAR.replace("20261231", "20261301")}, "calendar", 2, "end_date"),
    ("GTFS_ENUM", {"fare_transfer_rules": TRANSFERS + "G,G,1,,,3,\n"}, "fare_transfer_rules", 2, "fare_transfer_type"),
    ("GTFS_REQUIRED", {"fare_transfer_rules": TRANSFERS + "G,G,,,,0,\n"}, "fare_transfer_rules", 2, "transfer_count"),
    ("GTFS_REQUIRED", {"fare_transfer_rules": TRANSFERS + "G,G,1,3600,,0,\n"}, "fare_transfer_rules", 2, "duration_limit_type"),
    ("GTFS_NUMBER", {"fare_transfer_rules": TRANSFERS + "G,G,0,,,0,\n"}, "fare_transfer_rules", 2, "transfer_count"),
    ("GTFS_NEGATIVE", {"fare_transfer_rules": TRANSFERS + "G,G,1,,,0,off\n", "fare_products": PRODUCTS + "single,,,2.00,EUR\noff,,,-1.00,EUR\n"}, "fare_transfer_rules", 2, "fare_product_id"),
    ("GTFS_PAIR", {"fare_leg_join_rules": "from_network_id,to_network_id,from_stop_id,to_stop_id\nn,n,A,\n"}, "fare_leg_join_rules", 2, "from_stop_id"),
    ("GTFS_ZONE", {"agency": "agency_id,agency_timezone\n1,Mars/Crater\n"}, "agency", 0, "agency_timezone"),
    ("GTFS_NO_FARES", {"fare_leg_rules": None}, "feed", 0, ""),
    ("GTFS_REFERENCE", {"fare_leg_rules": None, "fare_attributes": ATTRIBUTES + "f,1,EUR,0,0,\n", "fare_rules": RULES + "g,,,,\n"}, "fare_rules", 2, "fare_id"),
    ("GTFS_AMOUNT", {"fare_leg_rules": None, "fare_attributes": ATTRIBUTES + "f,-1,EUR,0,0,\n"}, "fare_attributes", 2, "price"),
]  # fmt: skip
WARNINGS: list[tuple[str, Tables, str, int]] = [
    ("GTFS_COUNT_FORBIDDEN", {"fare_leg_rules": LEGS + "G,,,,,single\nH,,,,,more\n", "fare_products": PRODUCTS + "single,,,2,EUR\nmore,,,2,EUR\n", "fare_transfer_rules": TRANSFERS + "G,H,2,,,0,\n"}, "fare_transfer_rules", 2),
    ("GTFS_TYPE_FORBIDDEN", {"fare_transfer_rules": TRANSFERS + "G,G,1,,1,0,\n"}, "fare_transfer_rules", 2),
    ("GTFS_CHEAP_TRANSFER", {"networks": "network_id\nbus\nair\n", "fare_leg_rules": LEGS + "EDM,bus,,,,single\nAIR,air,,,,airport\n", "fare_products": PRODUCTS + "single,,,3.00,CAD\nairport,,,6.00,CAD\n", "fare_transfer_rules": TRANSFERS + "EDM,AIR,,5400,1,0,\n"}, "fare_transfer_rules", 2),
    ("GTFS_NEVER_MATCHES", {"timeframes": FRAMES + "p,07:00:00,09:00:00,s\n", "calendar": CALENDAR.replace("1,1,1,1,1,1,1", "0,0,0,0,0,0,0"), "fare_leg_rules": LEGS + "G,,,,,single\nG,,,,p,single\n"}, "fare_leg_rules", 3),
    ("GTFS_NEVER_MATCHES", {"fare_transfer_rules": TRANSFERS + "G,G,1,,,0,\n,,-1,,,0,\n"}, "fare_transfer_rules", 3),
    ("GTFS_CURRENCIES", {"fare_products": PRODUCTS + "single,,,2.00,EUR\nother,,,2.00,USD\n"}, "fare_products", 3),
    ("GTFS_NOT_SOLD", {"fare_products": PRODUCTS + "single,,,2.00,EUR\nother,,,2.00,USD\n", "fare_leg_rules": LEGS + "G,,,,,single\nG,,,,,other\n"}, "fare_leg_rules", 3),
    ("GTFS_UNKNOWN_REFERENCE", {"fare_leg_rules": LEGS + "G,,a9,,,single\n"}, "fare_leg_rules", 2),
    ("GTFS_UNKNOWN_COLUMN", {"fare_leg_rules": "leg_group_id,fare_product_id,price\nG,single,1\n"}, "fare_leg_rules", 1),
    ("GTFS_NETWORK_FORMS", {"routes": "route_id,network_id\nR,n\n", "networks": "network_id\nn\n"}, "networks", 0),
    ("GTFS_SEVERAL_PRODUCTS", {"fare_products": PRODUCTS + "single,,,2,EUR\nday,,,5,EUR\n", "fare_leg_rules": LEGS + "G,,,,,single\nG,,,,,day\n"}, "fare_leg_rules", 2),
    ("GTFS_DEFAULT_CATEGORY", {"fare_products": PRODUCTS + "single,a,,2,EUR\nsingle,b,,1,EUR\n", "rider_categories": "rider_category_id\na\nb\n"}, "fare_products", 2),
    ("GTFS_BOTH_VERSIONS", {"fare_attributes": ATTRIBUTES + "f,1,EUR,0,0,\n"}, "fare_attributes", 0),
    ("GTFS_UNUSED", {"fare_products": PRODUCTS + "single,,,2,EUR\nlost,,,5,EUR\n"}, "fare_products", 3),
    ("GTFS_JOIN_NETWORKS", {"networks": "network_id\nn\nm\n", "fare_leg_join_rules": "from_network_id,to_network_id\nn,m\n"}, "fare_leg_join_rules", 2),
    ("GTFS_TIME_ZONES", {"agency": "agency_id,agency_timezone\n1,Europe/Oslo\n2,Europe/Rome\n"}, "agency", 0),
    ("GTFS_ITINERARY", {"fare_leg_rules": None, "fare_attributes": ATTRIBUTES + "f,1,EUR,0,1,\n", "fare_rules": RULES + "f,,1,,\n", "stops": "stop_id,zone_id\nA,1\n"}, "fare_attributes", 2),
]  # fmt: skip
