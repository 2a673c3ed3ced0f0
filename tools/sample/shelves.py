"""What the made-up shop sells: 30 categories in three levels, and the words its products are named with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shelf:
    """A category without any below it."""

    path: tuple[str, str, str]
    things: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: tuple[str, ...]
    cents: tuple[int, int]
    """The cheapest and the dearest."""


BRANDS = {
    "Grocery": ("Alder Farm", "Bluebird", "Casa Verde", "Morning Mill", "Old Orchard", "Sunny Acre", "Bazaar Basics"),
    "Home & Kitchen": ("Castlemere", "Haven & Oak", "Kindle Hearth", "Northpine", "Vela", "Bazaar Home"),
    "Electronics": ("Altaira", "Corvid", "Lumeno", "Nimbus Audio", "Quanta", "Voltera"),
    "Sports & Outdoors": ("Fell & Ford", "Kestrel", "Ridgeway", "Stride", "Trailmark", "Torrent"),
}
OWN_BRANDS = ("Bazaar Basics", "Bazaar Home")

SHELVES = (
    Shelf(
        ("Grocery", "Drinks", "Coffee & Tea"),
        ("Ground Coffee", "Espresso Beans", "Green Tea", "Breakfast Tea", "Chai"),
        ("Organic", "Dark Roast", "Fair Trade", "Decaf", "Single Origin"),
        ("250 g", "500 g", "1 kg", "40 bags"),
        (299, 1899),
    ),
    Shelf(
        ("Grocery", "Drinks", "Juices"),
        ("Orange Juice", "Apple Juice", "Mango Nectar", "Tomato Juice", "Lemonade"),
        ("Cold Pressed", "No Sugar Added", "Cloudy", "With Pulp"),
        ("330 ml", "1 l", "1.5 l", "6 x 200 ml"),
        (129, 899),
    ),
    Shelf(
        ("Grocery", "Pantry", "Pasta & Rice"),
        ("Spaghetti", "Penne", "Basmati Rice", "Jasmine Rice", "Couscous", "Red Lentils"),
        ("Whole Grain", "Bronze Cut", "Organic", "Quick Cook"),
        ("500 g", "1 kg", "2 kg", "5 kg"),
        (99, 1499),
    ),
    Shelf(
        ("Grocery", "Pantry", "Snacks"),
        ("Potato Chips", "Salted Almonds", "Oat Cookies", "Dark Chocolate", "Popcorn", "Trail Mix"),
        ("Sea Salt", "Paprika", "Honey", "Lightly Salted", "Vegan"),
        ("90 g", "150 g", "200 g", "Family Pack"),
        (79, 799),
    ),
    Shelf(
        ("Home & Kitchen", "Cookware", "Pots & Pans"),
        ("Frying Pan", "Saucepan", "Stock Pot", "Wok", "Griddle"),
        ("Cast Iron", "Stainless Steel", "Non-Stick", "Copper Base"),
        ("20 cm", "24 cm", "28 cm", "32 cm"),
        (1499, 12999),
    ),
    Shelf(
        ("Home & Kitchen", "Cookware", "Knives"),
        ("Chef's Knife", "Bread Knife", "Paring Knife", "Santoku", "Steak Knives"),
        ("Forged", "Damascus", "Ceramic", "Classic"),
        ("9 cm", "13 cm", "18 cm", "20 cm"),
        (899, 14999),
    ),
    Shelf(
        ("Home & Kitchen", "Bedding", "Sheets"),
        ("Fitted Sheet", "Flat Sheet", "Duvet Cover", "Pillow Case"),
        ("Linen", "Percale", "Organic Cotton", "Flannel"),
        ("Single", "Double", "Queen", "King"),
        (1299, 9999),
    ),
    Shelf(
        ("Home & Kitchen", "Bedding", "Pillows"),
        ("Pillow", "Body Pillow", "Travel Pillow", "Neck Pillow"),
        ("Memory Foam", "Down", "Bamboo", "Latex", "Cooling"),
        ("Small", "Standard", "Large"),
        (999, 8999),
    ),
    Shelf(
        ("Home & Kitchen", "Bedding", "Blankets"),
        ("Throw", "Quilt", "Weighted Blanket", "Bedspread"),
        ("Merino", "Fleece", "Waffle", "Chunky Knit"),
        ("130 x 170 cm", "150 x 200 cm", "220 x 240 cm"),
        (1999, 15999),
    ),
    Shelf(
        ("Electronics", "Audio", "Headphones"),
        ("Headphones", "Earbuds", "Headset", "Studio Monitors"),
        ("Wireless", "Noise Cancelling", "Open Back", "Sport"),
        ("Black", "White", "Blue", "Sand"),
        (1999, 34999),
    ),
    Shelf(
        ("Electronics", "Audio", "Speakers"),
        ("Bluetooth Speaker", "Soundbar", "Bookshelf Speaker", "Party Speaker"),
        ("Portable", "Waterproof", "Compact", "Smart"),
        ("Black", "Grey", "Red", "Walnut"),
        (2499, 49999),
    ),
    Shelf(
        ("Electronics", "Computing", "Keyboards & Mice"),
        ("Keyboard", "Mouse", "Trackball", "Number Pad"),
        ("Mechanical", "Silent", "Ergonomic", "Wireless", "Gaming"),
        ("Black", "White", "Graphite"),
        (999, 17999),
    ),
    Shelf(
        ("Electronics", "Computing", "Storage"),
        ("Solid State Drive", "Memory Card", "USB Stick", "Backup Drive"),
        ("Fast", "Rugged", "Encrypted", "Slim"),
        ("128 GB", "512 GB", "1 TB", "4 TB"),
        (799, 39999),
    ),
    Shelf(
        ("Electronics", "Computing", "Chargers"),
        ("USB-C Charger", "Power Bank", "Charging Cable", "Wireless Charger"),
        ("Fast", "Travel", "Braided", "Slim"),
        ("20 W", "45 W", "65 W", "100 W"),
        (699, 8999),
    ),
    Shelf(
        ("Sports & Outdoors", "Camping", "Tents"),
        ("Dome Tent", "Tunnel Tent", "Tarp", "Bivouac"),
        ("Ultralight", "Family", "Four Season", "Pop-Up"),
        ("1 Person", "2 Person", "4 Person", "6 Person"),
        (3999, 69999),
    ),
    Shelf(
        ("Sports & Outdoors", "Camping", "Lamps"),
        ("Headlamp", "Lantern", "Torch", "String Lights"),
        ("Rechargeable", "Solar", "Compact", "Waterproof"),
        ("200 lm", "400 lm", "1000 lm"),
        (999, 7999),
    ),
    Shelf(
        ("Sports & Outdoors", "Fitness", "Yoga"),
        ("Yoga Mat", "Yoga Block", "Strap", "Bolster"),
        ("Cork", "Natural Rubber", "Extra Thick", "Travel"),
        ("Sage", "Plum", "Slate", "Ocean"),
        (899, 9999),
    ),
    Shelf(
        ("Sports & Outdoors", "Fitness", "Weights"),
        ("Dumbbell", "Kettlebell", "Weight Plate", "Resistance Band"),
        ("Rubber", "Cast Iron", "Adjustable", "Competition"),
        ("2 kg", "5 kg", "10 kg", "20 kg"),
        (699, 19999),
    ),
)
