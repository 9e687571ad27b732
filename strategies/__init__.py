"""What an author of strategies sees: the class to subclass, its parameters, and strategies to start from."""
