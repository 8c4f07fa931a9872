"""Which columns the fare tables of a feed have, by the reference of July 2025."""

from __future__ import annotations

_V2 = {
    "fare_products.txt": "fare_product_id fare_product_name rider_category_id fare_media_id amount"
    " currency duration_amount duration_unit duration_type",
    "fare_leg_rules.txt": "leg_group_id network_id from_area_id to_area_id from_timeframe_group_id"
    " to_timeframe_group_id fare_product_id rule_priority",
    "fare_leg_join_rules.txt": "from_network_id to_network_id from_stop_id to_stop_id",
    "fare_transfer_rules.txt": "from_leg_group_id to_leg_group_id transfer_count duration_limit"
    " duration_limit_type fare_transfer_type fare_product_id",
    "timeframes.txt": "timeframe_group_id start_time end_time service_id",
    "rider_categories.txt": "rider_category_id rider_category_name is_default_fare_category"
    " eligibility_url",
    "fare_media.txt": "fare_media_id fare_media_name fare_media_type",
    "areas.txt": "area_id area_name",
    "stop_areas.txt": "area_id stop_id",
    "networks.txt": "network_id network_name",
    "route_networks.txt": "network_id route_id",
}
_V1 = {
    "fare_attributes.txt": "fare_id price currency_type payment_method transfers agency_id"
    " transfer_duration",
    "fare_rules.txt": "fare_id route_id origin_id destination_id contains_id",
}
COLUMNS = {file: frozenset(names.split()) for file, names in (_V2 | _V1).items()}
"""Every column of the fare tables; a name that is not here has no effect and is warned about."""

_NEEDED = {
    "fare_products.txt": "fare_product_id amount currency",
    "fare_leg_rules.txt": "fare_product_id",
    "fare_leg_join_rules.txt": "from_network_id to_network_id",
    "fare_transfer_rules.txt": "fare_transfer_type",
    "timeframes.txt": "timeframe_group_id service_id",
    "rider_categories.txt": "rider_category_id",
    "fare_media.txt": "fare_media_id fare_media_type",
    "areas.txt": "area_id",
    "stop_areas.txt": "area_id stop_id",
    "networks.txt": "network_id",
    "route_networks.txt": "network_id route_id",
    "fare_attributes.txt": "fare_id price currency_type payment_method",
    "fare_rules.txt": "fare_id",
    "stops.txt": "stop_id",
    "routes.txt": "route_id",
    "trips.txt": "trip_id route_id",
    "stop_times.txt": "trip_id stop_id stop_sequence",
    "calendar.txt": "service_id monday tuesday wednesday thursday friday saturday sunday start_date"
    " end_date",
    "calendar_dates.txt": "service_id date exception_type",
    "agency.txt": "agency_timezone",
}
REQUIRED = {file: tuple(names.split()) for file, names in _NEEDED.items()}
"""Columns without which a table says nothing."""
