"""Questions with four answers each, the right one first. We wrote them for measuring, so no model has read them."""

from typing import NamedTuple


class Question(NamedTuple):
    """A question and its answers of one kind and of similar length; the first is right."""

    text: str
    answers: tuple[str, str, str, str]


QUESTIONS = (
    Question("What is the capital of Italy?", ("Rome", "Vienna", "Athens", "Lisbon")),
    Question("What is the capital of Japan?", ("Tokyo", "Beijing", "Seoul", "Bangkok")),
    Question("What is the capital of Egypt?", ("Cairo", "Tunis", "Nairobi", "Lagos")),
    Question("On which continent is Brazil?", ("South America", "North America", "Africa", "Asia")),
    Question("On which continent is Kenya?", ("Africa", "Asia", "Europe", "Australia")),
    Question("Which river flows through Egypt?", ("The Nile", "The Danube", "The Amazon", "The Thames")),
    Question("Which city has the Eiffel Tower?", ("Paris", "Rome", "London", "New York")),
    Question("Which country is shaped like a boot?", ("Italy", "Norway", "Chile", "India")),
    Question("What language do people speak in Austria?", ("German", "Polish", "Swedish", "Greek")),
    Question("What color is grass?", ("Green", "Blue", "Red", "White")),
    Question("What color is a ripe banana?", ("Yellow", "Blue", "Purple", "Black")),
    Question("What color do you get from blue and yellow?", ("Green", "Orange", "Purple", "Brown")),
    Question("How many legs does a dog have?", ("Four", "Two", "Six", "Eight")),
    Question("How many months are in a year?", ("Twelve", "Ten", "Seven", "Thirty")),
    Question("How many minutes are in an hour?", ("Sixty", "Twelve", "Thirty", "Ninety")),
    Question("How many sides does a triangle have?", ("Three", "Four", "Five", "Six")),
    Question("How many wheels does a bicycle have?", ("Two", "Three", "Four", "Six")),
    Question("What is two plus three?", ("Five", "Four", "Six", "Eight")),
    Question("What is ten minus six?", ("Four", "Three", "Two", "Five")),
    Question("What do cows drink when they are adult?", ("Water", "Milk", "Juice", "Oil")),
    Question("Which animal gives us wool?", ("A sheep", "A horse", "A fish", "A snake")),
    Question("Which animal lays eggs?", ("A hen", "A cow", "A dog", "A goat")),
    Question("Which animal lives in the sea?", ("A whale", "A camel", "A lion", "A goat")),
    Question("What is a young cat called?", ("A kitten", "A puppy", "A calf", "A lamb")),
    Question("What is a young dog called?", ("A puppy", "A kitten", "A foal", "A chick")),
    Question("What is the opposite of day?", ("Night", "Noon", "Week", "Sun")),
    Question("What is the opposite of up?", ("Down", "Left", "Over", "High")),
    Question("What is the opposite of old?", ("Young", "Large", "Slow", "Dark")),
    Question("What do we breathe with?", ("The lungs", "The liver", "The bones", "The eyes")),
    Question("What do we hear with?", ("The ears", "The eyes", "The hands", "The nose")),
    Question("What do plants take up with their roots?", ("Water", "Light", "Sand", "Wind")),
    Question("Which planet do we live on?", ("Earth", "Mars", "Venus", "Saturn")),
    Question("Which planet has large rings?", ("Saturn", "Mercury", "Earth", "Mars")),
    Question("What does the Earth go around?", ("The Sun", "The Moon", "Mars", "Jupiter")),
    Question("Which is the coldest season?", ("Winter", "Summer", "Spring", "Autumn")),
    Question("Which month comes after March?", ("April", "June", "January", "October")),
    Question("Which day comes after Monday?", ("Tuesday", "Friday", "Sunday", "Thursday")),
    Question("Who painted the Mona Lisa?", ("Leonardo da Vinci", "Vincent van Gogh", "Pablo Picasso", "Claude Monet")),
    Question("Who wrote Romeo and Juliet?", ("William Shakespeare", "Mark Twain", "Jane Austen", "Charles Dickens")),
    Question("What does a thermometer measure?", ("Temperature", "Weight", "Distance", "Speed")),
)

_MELTS = " the heat of the sunlight warms it above its melting point."
# How a sentence begins, how it may end, and which end is right. The first is that of [Holtzman2021].
UNEQUAL = (
    ("The bar closed because", (" it was crowded.", " it was 3 AM."), 1),
    ("The pond froze over because", (" it was a very cold winter night.", " it was hot."), 0),
    ("Ice cream melts in the sun because", (_MELTS, " it is cold."), 0),
)
