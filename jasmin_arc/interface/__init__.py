"""What an ``ArcInterface`` can do, by task. Each class adds the methods of one task; all speak of jobs by their ids."""
