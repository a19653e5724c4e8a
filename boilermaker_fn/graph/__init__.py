"""What is a graph of tasks, and how is one built?"""
